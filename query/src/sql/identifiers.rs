//! Column names keep their case in the engine, and SQL folds what is not quoted to lower case. An unquoted `CustomerID`
//! that means no column as it is written means the column of that spelling, where there is only one. It is quoted then,
//! after planning has said so: before, it may as well be the name of an alias.

use crate::error::Span;
use datafusion::sql::parser::{CopyToSource, Statement as DfStatement};
use datafusion::sql::sqlparser::ast::{Expr, Ident, Statement as Ast, visit_expressions_mut};
use std::ops::ControlFlow;

/// Quote the identifiers that were read as the column `missing`, as the column `found`: those at the place of the
/// error, where it is known, else all. False where there is none.
pub(crate) fn respell(statement: &mut DfStatement, missing: &str, found: &str, place: Option<Span>) -> bool {
    let at_place = place.is_some_and(|place| quote_all(statement, missing, found, Some(place)));
    at_place || quote_all(statement, missing, found, None)
}

fn quote_all(statement: &mut DfStatement, missing: &str, found: &str, place: Option<Span>) -> bool {
    let mut any = false;
    let mut quote = |ident: &mut Ident| {
        let means = ident.quote_style.is_none() && ident.value.to_lowercase() == missing.to_lowercase();
        if means && place.is_none_or(|place| lies_in(ident, place)) {
            ident.value = found.to_string();
            ident.quote_style = Some('"');
            any = true;
        }
    };
    on_asts(statement, &mut |ast| {
        let _ = visit_expressions_mut(ast, |expr| {
            match expr {
                Expr::Identifier(ident) => quote(ident),
                // Before the column stands its table.
                Expr::CompoundIdentifier(idents) => idents.last_mut().into_iter().for_each(&mut quote),
                _ => {}
            }
            ControlFlow::<()>::Continue(())
        });
    });
    any
}

fn lies_in(ident: &Ident, place: Span) -> bool {
    Span::from_sql(ident.span).is_some_and(|span| {
        let starts = (place.line, place.column) <= (span.line, span.column);
        starts && (span.end_line, span.end_column) <= (place.end_line, place.end_column)
    })
}

fn on_asts(statement: &mut DfStatement, act: &mut dyn FnMut(&mut Ast)) {
    match statement {
        DfStatement::Statement(ast) => act(ast),
        DfStatement::Explain(explain) => on_asts(&mut explain.statement, act),
        DfStatement::CopyTo(copy) => {
            if let CopyToSource::Query(query) = &mut copy.source {
                let mut ast = Ast::Query(query.clone());
                act(&mut ast);
                if let Ast::Query(changed) = ast {
                    *query = changed;
                }
            }
        }
        _ => {}
    }
}
