//! How rules name properties.

use crate::plan::catalog::normalised;
use datafusion::sql::sqlparser::ast::Ident;

/// A name in a rule: in quotes it means itself, else whatever differs from it by nothing but capitals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// In lower case, unless quoted.
    pub(super) text: String,
    pub(super) is_exact: bool,
}

impl Name {
    pub(super) fn of(ident: &Ident) -> Self {
        Self { text: normalised(ident), is_exact: ident.quote_style.is_some() }
    }

    pub(super) fn means(&self, name: &str) -> bool {
        self.text == name || (!self.is_exact && name.to_lowercase() == self.text)
    }

    /// The place of the one of `names` that is meant: the same before one that differs by case.
    pub(super) fn find<'n>(&self, names: impl Iterator<Item = &'n str> + Clone) -> Option<usize> {
        let same = names.clone().position(|name| name == self.text);
        same.or_else(|| names.clone().position(|name| self.means(name)))
    }
}
