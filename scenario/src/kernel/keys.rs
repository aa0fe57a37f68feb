//! The protection keys of the process. For a scenario without keys (`set pkeys 0`) all keys are allocated: then memory with `PROT_EXEC`
//! alone gets no key and can be read, as on a machine without keys. Called by `kernel`, `calls`, `place` and `settings`.

use super::process::KernelSpace;
use crate::space::{Failure, Refusal, Space as _};
use vmaple_host::{Host, Need};
use vmaple_trace::{AreaFlags, Extent, Perm, Prot};

impl KernelSpace {
    /// Hides all keys that are free.
    pub(super) fn hide_keys(&mut self) -> Result<(), Refusal> {
        if Host::as_it_is().protection_keys == 0 {
            return Ok(());
        }
        while let Ok(key) = self.call(libc::SYS_pkey_alloc, [0; 6])? {
            self.keys.hidden.push(key);
        }
        Ok(())
    }

    /// `set pkeys`
    pub(super) fn set_keys(&mut self, count: u8) -> Result<(), Refusal> {
        if count == 0 {
            return self.hide_keys();
        }
        self.needs(&[Need::Keys])?;
        let have = Host::probe().protection_keys;
        if have != count {
            return Err(Refusal::Host(format!("the processor has {have} protection keys")));
        }
        for key in std::mem::take(&mut self.keys.hidden) {
            self.arrange("pkey_free", libc::SYS_pkey_free, [key, 0, 0, 0, 0, 0])?;
        }
        Ok(())
    }

    fn check_keys(&self) -> Result<(), Refusal> {
        if self.keys.hidden.is_empty() {
            return Ok(());
        }
        Err(Refusal::Host("the scenario has no protection keys: `set pkeys` gives it some".to_owned()))
    }

    pub(super) fn pkey_alloc(&mut self, flags: u64, rights: u64) -> Result<Result<u64, Failure>, Refusal> {
        self.check_keys()?;
        if self.keys.is_zero_free && rights != 0 {
            return Err(Refusal::Host("the process would lose the right to its own memory".to_owned()));
        }
        let result = self.call(libc::SYS_pkey_alloc, [flags, rights, 0, 0, 0, 0])?;
        self.keys.is_zero_free &= !matches!(result, Ok(0));
        Ok(result)
    }

    pub(super) fn pkey_free(&mut self, key: i32) -> Result<Result<u64, Failure>, Refusal> {
        self.check_keys()?;
        let result = self.call(libc::SYS_pkey_free, [argument(key), 0, 0, 0, 0, 0])?;
        self.keys.is_zero_free |= key == 0 && result.is_ok();
        Ok(result)
    }

    pub(super) fn pkey_mprotect(&self, addr: u64, len: u64, prot: Prot, key: i32) -> Result<Result<u64, Failure>, Refusal> {
        self.check_keys()?;
        self.call(libc::SYS_pkey_mprotect, [addr, len, prot.bits().into(), argument(key), 0, 0])
    }

    /// Refuses a request for the execute-only key while key 0 is free, because the process would lose the right to key 0.
    pub(super) fn check_key_zero(&self, prot: Prot) -> Result<(), Refusal> {
        if self.keys.is_zero_free && prot.contains(Prot::EXEC) {
            return Err(Refusal::Host("execute-only memory would get key 0, which the process's own memory has".to_owned()));
        }
        Ok(())
    }

    /// Gives an area that was put in place its key: one that is allocated, or the execute-only key.
    pub(super) fn place_key(&self, extent: Extent, perm: Perm, flags: AreaFlags, prot: u32) -> Result<(), Refusal> {
        let (start, len, key) = (extent.start, extent.end - extent.start, flags.pkey());
        let prot = u64::from(prot);
        let given = self.call(libc::SYS_pkey_mprotect, [start, len, prot, key.into(), 0, 0])?;
        if given.is_err() && perm.bits() & 7 == Perm::EXEC.bits() {
            self.arrange("mprotect", libc::SYS_mprotect, [start, len, prot, 0, 0, 0])?;
        }
        let has = self.exact()?.into_iter().find(|vma| vma.extent.contains(start)).map(|vma| vma.flags.pkey().number());
        if has == Some(key) { Ok(()) } else { Err(Refusal::Area(format!("the protection key {key} is not allocated"))) }
    }
}

/// A key as an argument of a system call.
fn argument(key: i32) -> u64 {
    u64::from(key.cast_unsigned())
}
