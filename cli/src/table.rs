//! The style of tables on a terminal, the same for all commands. Called by everything that prints a table.

use comfy_table::{Cell, CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

/// No frame; one line below the head where there is one.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// An empty table.
#[must_use]
pub(crate) fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// Gives the table a head: an empty corner, then the names of the columns, to the right as their figures are.
pub(crate) fn head(table: &mut Table, names: impl IntoIterator<Item = String>) {
    let cells = names.into_iter().map(|name| Cell::new(name).set_alignment(CellAlignment::Right));
    table.set_header([Cell::new("")].into_iter().chain(cells));
}

/// A field whose text stands to the right, as figures do.
#[must_use]
pub(crate) fn figure(text: impl ToString) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}
