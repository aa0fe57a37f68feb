//! `brk`: the break goes up page by page, and down again. Each step is one operation.

use super::spaces::{List, TOO_MANY, listed};
use crate::calls::{Call, steps_of_the_break};
use crate::regions::RegionSet;
use crate::workload::{Measure, Workload};

pub(super) const WORKLOAD: Workload =
    Workload { name: "brk", row: "brk", writer_row: None, threads: 1, measure: Measure::Laps(listed::<Steps>), left_out: TOO_MANY };

struct Steps;

impl List for Steps {
    const TIMES: usize = 1;

    fn of(_: &RegionSet) -> Vec<Call> {
        steps_of_the_break()
    }
}
