//! The machine as it would be without some of what it has.

use crate::capabilities::Capabilities;
use crate::need::{Need, UnknownNeed};
use crate::{Host, HugePool};

/// A comma list of needs; blanks around a word mean nothing, and neither does an empty list.
pub(crate) fn parse(text: &str) -> Result<Vec<Need>, UnknownNeed> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::parse).collect()
}

impl Host {
    /// The same machine without these.
    #[must_use]
    pub fn without(mut self, hidden: Vec<Need>) -> Self {
        for need in &hidden {
            match *need {
                Need::Keys => self.protection_keys = 0,
                Need::Hugetlb(_) => {
                    for HugePool { reserved, free, surplus, .. } in &mut self.huge_pools {
                        (*reserved, *free, *surplus) = (0, 0, 0);
                    }
                }
                Need::Root => self.is_root = false,
                Need::Capability(capability) => self.capabilities = self.capabilities.difference(capability),
                Need::Userfaultfd | Need::Mseal | Need::Mbind | Need::SetMm | Need::Perf | Need::Ptrace | Need::Attach => {
                    self.refused.entry(*need).or_insert(libc::ENOSYS);
                }
                // what needs it is left out, and it stays as it is
                Need::Overcommit | Need::TopDown => {}
            }
        }
        if hidden.contains(&Need::Root) {
            self.capabilities = Capabilities::default();
        }
        self.without.extend(hidden);
        self
    }
}
