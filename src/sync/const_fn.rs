//! Functions that are `const` where atomics can be made at compile time, which the checkers' cannot.
//!
//! Called for the constructors of `sync`, `lock`, `tree` and `map`.

/// Declares a function that is `const`, except under loom and shuttle.
macro_rules! const_fn {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $of:ty),*) -> $result:ty $body:block) => {
        #[cfg(not(any(vmaple_loom, vmaple_shuttle)))]
        $(#[$attribute])*
        $visibility const fn $name($($argument: $of),*) -> $result $body

        #[cfg(any(vmaple_loom, vmaple_shuttle))]
        $(#[$attribute])*
        $visibility fn $name($($argument: $of),*) -> $result $body
    };
}

pub(crate) use const_fn;
