//! Which kernel this is, because the rules are those of one release, and another may behave differently. Called by the program's `run`.

use vmaple_host::Host;

/// The release whose rules the library has.
const RELEASE: &str = "6.18";

/// Returns the warning for a kernel of another release; `None` for this one.
fn remark(release: &str) -> Option<String> {
    let is_ours = release.strip_prefix(RELEASE).is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()));
    (!is_ours).then(|| format!("this kernel is {release}; the rules are those of Linux {RELEASE}, and it may differ"))
}

/// Returns a warning if the running kernel is of another release than the library's rules; `None` if it is of the same.
#[must_use]
pub fn other_release() -> Option<String> {
    remark(Host::probe().release.as_deref().unwrap_or("unknown"))
}

#[cfg(test)]
mod tests {
    use super::remark;

    #[test]
    fn another_release_is_named() {
        for ours in ["6.18", "6.18.44-arch1", "6.18-rc3"] {
            assert_eq!(remark(ours), None);
        }
        for other in ["6.1.8", "6.180.1", "7.0.1"] {
            let remark = remark(other).expect("another one");
            assert!(remark.contains(other) && remark.contains("Linux 6.18"), "{remark}");
        }
    }
}
