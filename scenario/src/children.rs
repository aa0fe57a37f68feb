//! Several address spaces in one scenario: `fork`, `as`, `exit`. The space is a list of areas, so the tests are of `runner` and `spaces`
//! alone, and show that neither depends on the library.

use crate::report::Report;
use crate::runner;
use crate::space::{Answer, Failure, Gap, Refusal, Space};
use vmaple_trace::{Access, Area, Context, Extent, Operation, Reader, Setting, VmCounts};

/// A space that is a list of areas.
struct Plain(Vec<Area>);

impl Space for Plain {
    fn begin() -> Result<Self, Refusal> {
        Ok(Self(Vec::new()))
    }

    fn set(&mut self, _: Setting) -> Result<(), Refusal> {
        Ok(())
    }

    fn place(&mut self, area: &Area) -> Result<(), Refusal> {
        self.0.push(area.clone());
        Ok(())
    }

    fn apply(&mut self, _: &Operation) -> Result<Result<u64, Failure>, Refusal> {
        self.0.clear();
        Ok(Ok(0))
    }

    fn fault(&mut self, _: u64, _: Access, _: Context) -> Result<Answer, Refusal> {
        Ok(Err(None))
    }

    fn grow(&mut self, to: Extent) -> Result<Answer, Refusal> {
        Ok(Ok(to))
    }

    fn lookup(&self, _: u64) -> Result<Answer, Refusal> {
        Ok(Err(None))
    }

    fn find(&self, _: u64) -> Result<Answer, Refusal> {
        Ok(Err(None))
    }

    fn gap(&mut self, _: &Gap) -> Result<Result<u64, Failure>, Refusal> {
        Err(Refusal::Unsupported("gap"))
    }

    fn layout(&self) -> Result<Vec<Area>, Refusal> {
        Ok(self.0.clone())
    }

    fn vm(&self) -> Result<VmCounts, Refusal> {
        Ok(VmCounts::default())
    }

    fn write_cycles(&mut self) -> Result<u64, Refusal> {
        Ok(0)
    }

    /// Fails if the list is empty.
    fn fork(&mut self) -> Result<Result<Self, Failure>, Refusal> {
        Ok(if self.0.is_empty() { Err(Failure::new(12, "nothing to copy")) } else { Ok(Self(self.0.clone())) })
    }

    /// Fails if there are four areas.
    fn verdict(&self) -> Result<(), Failure> {
        if self.0.len() == 4 { Err(Failure::invalid("four areas")) } else { Ok(()) }
    }
}

/// Returns how many assertions held and how many differed, and the output with the refusal, if there was one.
fn run(text: &str) -> (u64, u64, String) {
    let mut out = Vec::new();
    let mut report = Report::new(&mut out, "s".to_owned());
    let ended = runner::run::<Plain>(Reader::new("s", std::io::Cursor::new(format!("vmaple-trace 1\n{text}"))), &mut report);
    let tally = report.tally();
    let refused = ended.err().map_or_else(String::new, |error| error.to_string());
    (tally.held, tally.differing, String::from_utf8_lossy(&out).into_owned() + &refused)
}

const AREA: &str = "area 1000-2000 rw-p - anon -\n";

#[test]
fn a_child_lives_beside_its_parent() {
    let family = format!(
        "{AREA}fork = child\n{AREA}count 2\nas child\ncount 1\nfork = grandchild\nmunmap 0 0 = 0\ncount 0\nas grandchild\ncount 1\n\
         as main\ncount 2\nas child\nexit\nas main\nfork = child\nas child\ncount 2\n"
    );
    assert_eq!(run(&family), (10, 0, String::new()));
}

#[test]
fn a_fork_can_fail_and_differ() {
    assert_eq!(run("fork = -ENOMEM\n"), (1, 0, String::new()));
    assert_eq!(run("fork\n"), (0, 0, "s:2: fork = -ENOMEM: nothing to copy\n".to_owned()));
    assert_eq!(run(&format!("{AREA}fork\n")), (0, 0, "s:3: fork = a child without a name\n".to_owned()));
    let (_, differing, output) = run("fork = child\n");
    assert!(differing == 1 && output.contains("expected child\n  found    -ENOMEM: nothing to copy"), "{output}");
    let (_, differing, output) = run(&format!("{AREA}fork = -EAGAIN\n"));
    assert!(differing == 1 && output.contains("expected -EAGAIN\n  found    a child"), "{output}");
}

#[test]
fn a_name_belongs_to_one_space() {
    for (text, expected) in [
        (format!("{AREA}fork = child\nfork = child\n"), "s:4: fork: there is already an address space `child`"),
        (format!("{AREA}fork = main\n"), "s:3: fork: there is already an address space `main`"),
        ("as child\n".to_owned(), "s:2: as child: there is no address space `child`"),
        ("exit\ncount 0\n".to_owned(), "s:3: count 0: there is no address space `main`"),
        (format!("{AREA}fork = child\nreset\nas child\n"), "s:5: as child: there is no address space `child`"),
    ] {
        assert_eq!(run(&text).2, expected, "{text}");
    }
}

/// A broken invariant that no assertion checks is reported when the address space ends, in whichever way.
#[test]
fn the_invariants_of_every_space_are_checked() {
    let four = AREA.repeat(4);
    for (end, wrong) in [("", 1), ("reset\n", 1), ("exit\n", 1), ("fork = child\n", 2), ("fork = child\nas child\nexit\nreset\n", 2)] {
        let (_, differing, output) = run(&format!("{four}{end}"));
        assert_eq!((differing, output.matches("found    -EINVAL: four areas").count() as u64), (wrong, wrong), "{output}");
    }
}
