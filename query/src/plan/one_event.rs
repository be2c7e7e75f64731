//! What an expression of an operator may not hold: it is computed of one event at a time, so a function over many rows and a
//! subquery that is asked again for each row have no value there.

use crate::error::{Error, Result};
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, Query, Spanned, Visit, Visitor};
use datafusion::sql::sqlparser::tokenizer::Span;
use std::ops::ControlFlow;

/// Refuses `planned`, which was written as `text`, where it needs more than one event.
///
/// # Errors
/// `Unsupported` at the function or the subquery.
pub(super) fn check(operator: &str, planned: &Expr, text: &SqlExpr) -> Result<()> {
    let Some(found) = first_of_many_rows(planned) else { return Ok(()) };
    let (message, hint) = match &found {
        Found::Function { kind, name, .. } => (
            format!("{operator} looks at one event at a time, and {kind} such as {name} needs many"),
            format!(
                "compute it in a subquery first: {operator}((SELECT *, {name}(…) OVER (PARTITION BY …) AS x FROM …), …)"
            ),
        ),
        Found::Unnest => (
            format!("{operator} looks at one event at a time, and unnest makes several rows of it"),
            format!("unnest in a subquery first: {operator}((SELECT …, unnest(…) AS x FROM …), …)"),
        ),
        Found::Subquery => (
            format!(
                "a subquery in {operator} gives one value for all rows: IN, EXISTS and columns from outside have none"
            ),
            format!("join or filter in a subquery first: {operator}((SELECT e.*, … FROM events e JOIN …), …)"),
        ),
    };
    Err(Error::unsupported(message).with_hint(hint).at(place(&found, text)))
}

/// What needs more than one event.
enum Found {
    Function { kind: &'static str, name: String, aliases: Vec<String> },
    Unnest,
    Subquery,
}

fn first_of_many_rows(expr: &Expr) -> Option<Found> {
    let mut found = None;
    // The walk itself cannot fail.
    let _ = expr.exists(|expr| {
        found = match expr {
            Expr::AggregateFunction(call) => Some(Found::Function {
                kind: "an aggregate function",
                name: call.func.name().to_string(),
                aliases: call.func.aliases().to_vec(),
            }),
            Expr::WindowFunction(call) => Some(Found::Function {
                kind: "a window function",
                name: call.fun.name().to_string(),
                aliases: Vec::new(),
            }),
            Expr::Unnest(_) => Some(Found::Unnest),
            Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) => Some(Found::Subquery),
            Expr::ScalarSubquery(subquery) if !subquery.outer_ref_columns.is_empty() => Some(Found::Subquery),
            _ => None,
        };
        Ok(found.is_some())
    });
    found
}

/// Where `found` stands in the text; the whole expression where that cannot be told.
fn place(found: &Found, text: &SqlExpr) -> Span {
    let mut search = Search { found, queries: 0 };
    match text.visit(&mut search) {
        ControlFlow::Break(span) if span != Span::empty() => span,
        _ => text.span(),
    }
}

/// Looks for the call of a function, or for a subquery, that stands in the expression itself.
struct Search<'a> {
    found: &'a Found,
    queries: usize,
}

impl Visitor for Search<'_> {
    type Break = Span;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Span> {
        self.queries += 1;
        if matches!(self.found, Found::Subquery) { ControlFlow::Break(query.span()) } else { ControlFlow::Continue(()) }
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<Span> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &SqlExpr) -> ControlFlow<Span> {
        let SqlExpr::Function(call) = expr else { return ControlFlow::Continue(()) };
        let is_it = match self.found {
            Found::Function { name, aliases, .. } => {
                let written = call.name.to_string();
                let mut names = std::iter::once(name).chain(aliases);
                call.over.is_some() || names.any(|name| written.eq_ignore_ascii_case(name))
            }
            Found::Unnest => call.name.to_string().eq_ignore_ascii_case("unnest"),
            Found::Subquery => false,
        };
        if self.queries == 0 && is_it { ControlFlow::Break(call.name.span()) } else { ControlFlow::Continue(()) }
    }
}
