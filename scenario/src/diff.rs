//! Library and kernel side by side: the kernel performs each operation, then the library, and their results and layouts are compared. Called by `runner` and `fuzz`, through [`Space`].

use crate::area::Files;
use crate::exact::{compare, shown};
use crate::kernel::KernelSpace;
use crate::low;
use crate::mm_space::MmSpace;
use crate::report::Difference;
use crate::space::{Answer, Failure, Gap, OnRefusal, Refusal, Space};
use vmaple_host::{Host, Need};
use vmaple_trace::{Access, Area, Context, Extent, Operation, Setting, VmCounts};

/// An address space of the library and one of the kernel, which must stay equal.
pub(super) struct Both {
    pub(super) library: MmSpace,
    kernel: KernelSpace,
    found: Vec<Difference>,
}

impl Both {
    /// Adds a difference that was found elsewhere.
    pub(super) fn add(&mut self, difference: Difference) {
        self.found.push(difference);
    }

    /// Compares the layouts and counters, and the two results unless they were compared before.
    fn compare(&mut self, expected: String, found: String) -> Result<(), Refusal> {
        let (kernel, library) = (self.kernel.exact()?, self.library.exact());
        let layout = compare(&kernel, &library);
        let (of_kernel, of_library) = (self.kernel.vm()?, self.library.vm()?);
        let is_counted = of_kernel == of_library;
        if expected == found && layout.is_empty() && is_counted {
            return Ok(());
        }
        let and_counts = |text: String, counts: VmCounts| if is_counted { text } else { format!("{text}, {counts}") };
        // without a difference in the list, the list shows where the operation was
        let layout = if layout.is_empty() { kernel.iter().map(|vma| format!("    {vma}")).collect() } else { layout };
        self.found.push(Difference {
            expected: format!("{} (kernel)", and_counts(expected, of_kernel)),
            found: and_counts(found, of_library),
            layout,
        });
        Ok(())
    }

    /// Compares the results of an operation. Only the library gives a reason.
    fn compare_outcomes(&mut self, kernel: &Result<u64, Failure>, library: &Result<u64, Failure>) -> Result<(), Refusal> {
        let errno = |outcome: &Result<u64, Failure>| outcome.as_ref().map(|value| *value).map_err(|failure| failure.errno);
        let is_same = errno(kernel) == errno(library);
        let found = shown(library);
        let expected = match kernel {
            _ if is_same => found.clone(),
            Ok(value) => format!("{value:#x}"),
            Err(failure) => format!("-{}", failure.errno),
        };
        self.compare(expected, found)
    }

    fn compare_answers(&mut self, kernel: &Answer, library: &Answer) -> Result<(), Refusal> {
        let extent = |answer: &Answer| answer.as_ref().ok().copied();
        let shown = |answer: &Answer| match answer {
            Ok(extent) => extent.to_string(),
            Err(Some(why)) => format!("none: {why}"),
            Err(None) => "none".to_owned(),
        };
        let found = shown(library);
        let expected = if extent(kernel) == extent(library) { found.clone() } else { shown(kernel) };
        self.compare(expected, found)
    }
}

impl Space for Both {
    fn begin() -> Result<Self, Refusal> {
        let (kernel, mut library) = (KernelSpace::begin()?, MmSpace::begin()?);
        library.names.have_files(Files::InMemory);
        library.adopt(Host::probe())?;
        Ok(Self { kernel, library, found: Vec::new() })
    }

    fn needs(&mut self, needs: &[Need]) -> Result<(), Refusal> {
        self.kernel.needs(needs)
    }

    fn set(&mut self, setting: Setting) -> Result<(), Refusal> {
        self.kernel.set(setting)?;
        self.library.set(setting)
    }

    fn place(&mut self, area: &Area) -> Result<(), Refusal> {
        self.kernel.place(area)?;
        self.library.place(area)?;
        self.compare(String::new(), String::new())
    }

    fn apply(&mut self, operation: &Operation) -> Result<Result<u64, Failure>, Refusal> {
        let kernel = self.kernel.apply(operation)?;
        low::follow(&mut self.library, operation, kernel.as_ref().ok().copied());
        let library = self.library.apply(operation)?;
        self.compare_outcomes(&kernel, &library)?;
        Ok(library)
    }

    fn fault(&mut self, addr: u64, access: Access, context: Context) -> Result<Answer, Refusal> {
        let kernel = self.kernel.fault(addr, access, context)?;
        let library = self.library.fault(addr, access, context)?;
        self.compare_answers(&kernel, &library)?;
        Ok(library)
    }

    fn grow(&mut self, to: Extent) -> Result<Answer, Refusal> {
        let kernel = self.kernel.grow(to)?;
        let library = self.library.grow(to)?;
        self.compare_answers(&kernel, &library)?;
        Ok(library)
    }

    fn lookup(&self, addr: u64) -> Result<Answer, Refusal> {
        self.library.lookup(addr)
    }

    fn find(&self, addr: u64) -> Result<Answer, Refusal> {
        self.library.find(addr)
    }

    fn gap(&mut self, gap: &Gap) -> Result<Result<u64, Failure>, Refusal> {
        self.library.gap(gap)
    }

    fn layout(&self) -> Result<Vec<Area>, Refusal> {
        self.library.layout()
    }

    fn count(&self, window: Option<Extent>) -> Result<u64, Refusal> {
        self.library.count(window)
    }

    fn around(&self, addr: Option<u64>) -> Result<Vec<String>, Refusal> {
        self.library.around(addr)
    }

    fn vm(&self) -> Result<VmCounts, Refusal> {
        self.library.vm()
    }

    fn write_cycles(&mut self) -> Result<u64, Refusal> {
        self.library.write_cycles()
    }

    fn fork(&mut self) -> Result<Result<Self, Failure>, Refusal> {
        let child = match (self.kernel.fork()?, self.library.fork()?) {
            (Ok(kernel), Ok(library)) => Ok(Self { library, kernel, found: Vec::new() }),
            (kernel, library) => {
                let (kernel, library) = (kernel.map(|_| 0), library.map(|_| 0));
                self.compare_outcomes(&kernel, &library)?;
                Err(library.err().or(kernel.err()).unwrap_or_else(|| Failure::invalid("no child")))
            }
        };
        self.compare(String::new(), String::new())?;
        Ok(match child {
            Ok(mut child) => {
                child.compare("a child".to_owned(), "a child".to_owned())?;
                self.found.append(&mut child.found);
                Ok(child)
            }
            Err(failure) => Err(failure),
        })
    }

    fn verdict(&self) -> Result<(), Failure> {
        self.library.verdict()
    }

    fn divergences(&mut self) -> Vec<Difference> {
        std::mem::take(&mut self.found)
    }

    fn on_refusal() -> OnRefusal {
        OnRefusal::SkipsTheCase
    }
}
