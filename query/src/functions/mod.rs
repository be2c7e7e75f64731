//! What SQL computes here in another way than DataFusion does: whole numbers that do not fit are an error, where they would wrap
//! around and give a wrong number.
//!
//! [`sum`] is `SUM`, on [`total`] (one total, also of a window) and [`totals`] (one for each group), whose numbers are
//! [`whole`]; [`distinct_sums`] keeps it exact where DataFusion sums sums, and [`narrow`] gives its result. [`arithmetic`] is `+`,
//! `-` and `*`, and [`overflow`] the error.

mod arithmetic;
mod distinct_sums;
mod narrow;
mod overflow;
mod sum;
mod total;
mod totals;
mod whole;

pub(crate) use arithmetic::checked;
pub(crate) use distinct_sums::DistinctBesideSums;

use arithmetic::CheckedArithmetic;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::AggregateUDF;
use std::sync::Arc;
use sum::ExactSum;

/// Puts these functions and operators in place of DataFusion's.
pub(crate) fn register(state: &mut SessionState) {
    // The registry of a session takes whatever it is given.
    let sum = state.register_udaf(Arc::new(AggregateUDF::new_from_impl(ExactSum::default())));
    debug_assert!(sum.is_ok_and(|before| before.is_some()));
    let arithmetic = state.register_function_rewrite(Arc::new(CheckedArithmetic));
    debug_assert!(arithmetic.is_ok());
}
