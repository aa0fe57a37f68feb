//! The machine without some of its features. Called by `Host::try_probe` for the variable `VMAPLE_WITHOUT`.

use crate::Host;
use crate::capabilities::Capabilities;
use crate::memory::HugePool;
use crate::need::Need;

impl Host {
    /// Returns the machine without these features.
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
                // the system's value stays; what needs it is left out by `Host::has`
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
