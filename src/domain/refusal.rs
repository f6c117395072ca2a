//! Why who calls is refused: closed lists, each of a kind of credential.

/// Declares the closed list of refusals.
macro_rules! refusals {
    ($(#[doc = $about:literal])+ pub enum Refusal {
        $($(#[doc = $doc:literal])+ $variant:ident = $text:literal,)+
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Refusal {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Refusal {
            /// Each refusal, in the order of its declaration.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Returns the name that the log and the metrics have.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

pub(super) use refusals;
