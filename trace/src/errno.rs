//! The errors of system calls by their Linux names; results of operations use them, nobody else is called.

use std::fmt;

/// Linux's names of the errors 1, 2, 3 ..., those of x86-64; `-` where a number has no name of its own.
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

/// The highest number of an error: what is above, below zero, is an address.
const LAST: u16 = 4095;

/// The number of an error, as Linux counts them. One without a name is written as its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(u16);

impl Errno {
    /// `EINVAL`: an argument makes no sense.
    pub const INVALID: Self = Self(22);

    /// `ENOMEM`: no memory, or no room.
    pub const NO_MEMORY: Self = Self(12);

    /// The error of that number, if it has a name.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Self::from_any_number(number).filter(|errno| errno.name() != "-")
    }

    /// The error of that number, with a name or without: a fixed address in the last page reads as any of them.
    #[must_use]
    pub fn from_any_number(number: u64) -> Option<Self> {
        u16::try_from(number).ok().filter(|number| (1..=LAST).contains(number)).map(Self)
    }

    /// What is written: the name or, without one, the number, both without a sign.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let number = || text.parse().ok().and_then(Self::from_any_number).filter(|errno| errno.to_string() == text);
        Self::from_name(text).or_else(number)
    }

    /// The error of that name, in capitals and without a sign.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let index = NAMES.split(' ').position(|known| known == name && known != "-")?;
        u16::try_from(index + 1).ok().map(Self)
    }

    /// The number, positive.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    /// The name, in capitals and without a sign.
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
    fn numbers_are_those_of_the_system() {
        // an independent list of the same facts
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
    fn what_has_no_name_is_refused() {
        for number in [0, 41, 58, 134, 255, 256, 512, u64::MAX] {
            assert_eq!(Errno::from_number(number), None, "{number}");
        }
        for name in ["", "-", "enomem", "ENOMEM ", "EPERM ENOENT"] {
            assert_eq!(Errno::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn every_number_is_read_as_it_is_written() {
        for number in 1..=4095 {
            let errno = Errno::from_any_number(number).expect("an error");
            assert_eq!(Errno::from_text(&errno.to_string()), Some(errno));
        }
        for text in ["0", "4096", "041", "+41", "22", "41 ", ""] {
            assert_eq!(Errno::from_text(text), None, "{text}");
        }
    }
}
