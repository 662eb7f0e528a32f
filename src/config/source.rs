//! Where things stand in the text of a configuration (to be filled: the position map).

/// The text with a map from JSON pointers to lines and columns.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Name to show, usually the file as given.
    pub name: String,
    /// The whole text.
    pub text: String,
}
