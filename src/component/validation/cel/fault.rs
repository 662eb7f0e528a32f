//! Why an evaluation has no result, and how much it may cost. Faults never hold data of a request: they
//! stand in logs.

use std::cell::Cell;

/// Why an expression has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault(pub &'static str);

impl Fault {
    /// A function or operator has no meaning for these values.
    pub(super) const NO_OVERLOAD: Self = Self("no such overload");
    /// A map without the key.
    pub(super) const NO_KEY: Self = Self("no such key");
    /// A list without the element.
    pub(super) const NO_INDEX: Self = Self("index out of range");
    /// A variable that this phase of a request does not have.
    pub(super) const UNBOUND: Self = Self("no such attribute");
    /// A result outside its type.
    pub(super) const OVERFLOW: Self = Self("overflow");
    /// Division or remainder by zero.
    pub(super) const ZERO: Self = Self("division by zero");
    /// Order of something that is no number.
    pub(super) const NAN: Self = Self("NaN values cannot be ordered");
    /// A text that is not what a conversion wants.
    pub(super) const CONVERSION: Self = Self("type conversion error");
    /// Values nested beyond comparison.
    pub(super) const TOO_DEEP: Self = Self("values are nested too deeply");
    /// More work than one evaluation may cause.
    pub(super) const EXHAUSTED: Self = Self("evaluation takes too many steps");
}

/// Steps that one evaluation may take: some tenth of a second at the very worst. A node of the expression
/// is one, so are 16 characters that are looked at and each element that is.
pub(super) const STEPS: usize = 5_000_000;

/// What is left of them.
pub(super) struct Budget(Cell<usize>);

impl Budget {
    /// The steps of one evaluation.
    pub(super) const fn new(steps: usize) -> Self {
        Self(Cell::new(steps))
    }

    /// Takes steps.
    ///
    /// # Errors
    /// When there are not so many left.
    pub(super) fn charge(&self, steps: usize) -> Result<(), Fault> {
        match self.0.get().checked_sub(steps) {
            Some(left) => {
                self.0.set(left);
                Ok(())
            }
            None => {
                // No branch of the expression that swallows errors may go on after this.
                self.0.set(0);
                Err(Fault::EXHAUSTED)
            }
        }
    }

    /// Whether nothing is left.
    pub(super) fn is_spent(&self) -> bool {
        self.0.get() == 0
    }
}
