//! The functions templates may call, and what they take.

/// A function of Go's templates or of docker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    And,
    Call,
    Eq,
    Ge,
    Gt,
    Html,
    Index,
    Join,
    Js,
    Json,
    Le,
    Len,
    Lower,
    Lt,
    Ne,
    Not,
    Or,
    Pad,
    Print,
    Printf,
    Println,
    Slice,
    Split,
    Title,
    Truncate,
    Upper,
    UrlQuery,
}

/// What an argument must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameter {
    Any,
    Text,
    Integer,
    Texts,
}

impl Parameter {
    /// The name Go has for the type.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Text => "string",
            Self::Integer => "int",
            Self::Texts => "[]string",
        }
    }
}

/// The arguments a function takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signature {
    pub(crate) fixed: &'static [Parameter],
    /// Whether more of any kind may follow.
    pub(crate) is_variadic: bool,
}

impl Function {
    const ALL: [Self; 27] = [
        Self::And,
        Self::Call,
        Self::Eq,
        Self::Ge,
        Self::Gt,
        Self::Html,
        Self::Index,
        Self::Join,
        Self::Js,
        Self::Json,
        Self::Le,
        Self::Len,
        Self::Lower,
        Self::Lt,
        Self::Ne,
        Self::Not,
        Self::Or,
        Self::Pad,
        Self::Print,
        Self::Printf,
        Self::Println,
        Self::Slice,
        Self::Split,
        Self::Title,
        Self::Truncate,
        Self::Upper,
        Self::UrlQuery,
    ];

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|function| function.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::And => "and",
            Self::Call => "call",
            Self::Eq => "eq",
            Self::Ge => "ge",
            Self::Gt => "gt",
            Self::Html => "html",
            Self::Index => "index",
            Self::Join => "join",
            Self::Js => "js",
            Self::Json => "json",
            Self::Le => "le",
            Self::Len => "len",
            Self::Lower => "lower",
            Self::Lt => "lt",
            Self::Ne => "ne",
            Self::Not => "not",
            Self::Or => "or",
            Self::Pad => "pad",
            Self::Print => "print",
            Self::Printf => "printf",
            Self::Println => "println",
            Self::Slice => "slice",
            Self::Split => "split",
            Self::Title => "title",
            Self::Truncate => "truncate",
            Self::Upper => "upper",
            Self::UrlQuery => "urlquery",
        }
    }

    pub(crate) fn signature(self) -> Signature {
        use Parameter::{Any, Integer, Text, Texts};
        let (fixed, is_variadic): (&'static [Parameter], bool) = match self {
            Self::Html | Self::Js | Self::Print | Self::Println | Self::UrlQuery => (&[], true),
            Self::And | Self::Call | Self::Eq | Self::Index | Self::Or | Self::Slice => {
                (&[Any], true)
            }
            Self::Printf => (&[Text], true),
            Self::Json | Self::Len | Self::Not => (&[Any], false),
            Self::Ge | Self::Gt | Self::Le | Self::Lt | Self::Ne => (&[Any, Any], false),
            Self::Lower | Self::Title | Self::Upper => (&[Text], false),
            Self::Split => (&[Text, Text], false),
            Self::Join => (&[Texts, Text], false),
            Self::Pad => (&[Text, Integer, Integer], false),
            Self::Truncate => (&[Text, Integer], false),
        };
        Signature { fixed, is_variadic }
    }

    /// Whether table headers go through unchanged: they name the column, so docker does not transform them.
    pub(crate) fn keeps_headers(self) -> bool {
        matches!(
            self,
            Self::Json
                | Self::Split
                | Self::Join
                | Self::Title
                | Self::Lower
                | Self::Upper
                | Self::Truncate
        )
    }
}
