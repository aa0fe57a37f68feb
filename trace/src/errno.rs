//! The errors of system calls: Linux's names and numbers. Called by `fields` and `show`, and by recorders and runners.

use std::fmt;

/// Linux's names of the errors 1, 2, 3 ... on x86-64; `-` for a number without a name of its own.
const NAMES: &str = "EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT \
    ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS \
    EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP - ENOMSG EIDRM ECHRNG EL2NSYNC \
    EL3HLT EL3RST ELNRNG EUNATCH ENOCSI EL2HLT EBADE EBADR EXFULL ENOANO EBADRQC EBADSLT - EBFONT ENOSTR ENODATA \
    ETIME ENOSR ENONET ENOPKG EREMOTE ENOLINK EADV ESRMNT ECOMM EPROTO EMULTIHOP EDOTDOT EBADMSG EOVERFLOW ENOTUNIQ \
    EBADFD EREMCHG ELIBACC ELIBBAD ELIBSCN ELIBMAX ELIBEXEC EILSEQ ERESTART ESTRPIPE EUSERS ENOTSOCK EDESTADDRREQ \
    EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE \
    EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN \
    ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EUCLEAN ENOTNAM ENAVAIL \
    EISNAM EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED EOWNERDEAD \
    ENOTRECOVERABLE ERFKILL EHWPOISON";

/// The highest error number. A system call that returns less than its negative has returned an address.
const LAST: u16 = 4095;

/// An error of a system call. Its text is its name, or its number if it has no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(u16);

impl Errno {
    /// `EINVAL`: invalid argument.
    pub const INVALID: Self = Self(22);

    /// `ENOMEM`: not enough memory, or no free address range.
    pub const NO_MEMORY: Self = Self(12);

    /// Returns the error with this number; `None` if it has no name.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Self::from_any_number(number).filter(|errno| errno.name() != "-")
    }

    /// Returns the error with this number, which need not have a name; `None` if the number is not from 1 to 4095. Addresses in the last page, which
    /// a fixed mapping may return, look like errors without a name.
    #[must_use]
    pub fn from_any_number(number: u64) -> Option<Self> {
        u16::try_from(number).ok().filter(|number| (1..=LAST).contains(number)).map(Self)
    }

    /// Reads a name, or the number of an error without a name, both without a sign.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let number = || text.parse().ok().and_then(Self::from_any_number).filter(|errno| errno.to_string() == text);
        Self::from_name(text).or_else(number)
    }

    /// Returns the error with this name, in capitals and without a sign.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let index = NAMES.split(' ').position(|known| known == name && known != "-")?;
        u16::try_from(index + 1).ok().map(Self)
    }

    /// Returns the number, which is positive.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    /// Returns the name in capitals, without a sign; `-` if it has none.
    #[must_use]
    pub fn name(self) -> &'static str {
        let index = usize::from(self.0).checked_sub(1);
        index.and_then(|index| NAMES.split(' ').nth(index)).unwrap_or("-")
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "-" => self.0.fmt(f),
            name => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Errno;

    #[test]
    fn numbers_are_those_of_libc() {
        // libc is an independent list of the same names
        for (number, name) in [
            (libc::EPERM, "EPERM"),
            (libc::ENOMEM, "ENOMEM"),
            (libc::EDEADLK, "EDEADLK"),
            (libc::ENOMSG, "ENOMSG"),
            (libc::EBFONT, "EBFONT"),
            (libc::EOVERFLOW, "EOVERFLOW"),
            (libc::EOPNOTSUPP, "EOPNOTSUPP"),
            (libc::EHWPOISON, "EHWPOISON"),
        ] {
            let number = u64::try_from(number).expect("errors are positive");
            assert_eq!(Errno::from_number(number).map(Errno::name), Some(name));
            assert_eq!(Errno::from_name(name).map(|errno| u64::from(errno.number())), Some(number));
        }
    }

    #[test]
    fn numbers_without_a_name_are_refused() {
        for number in [0, 41, 58, 134, 255, 256, 512, u64::MAX] {
            assert_eq!(Errno::from_number(number), None, "{number}");
        }
        for name in ["", "-", "enomem", "ENOMEM ", "EPERM ENOENT"] {
            assert_eq!(Errno::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn every_number_is_read_back() {
        for number in 1..=4095 {
            let errno = Errno::from_any_number(number).expect("an error");
            assert_eq!(Errno::from_text(&errno.to_string()), Some(errno));
        }
        for text in ["0", "4096", "041", "+41", "22", "41 ", ""] {
            assert_eq!(Errno::from_text(text), None, "{text}");
        }
    }
}
