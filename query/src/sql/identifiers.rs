//! Column names keep their case in the engine, and SQL folds what is not quoted to lower case. An unquoted `CustomerID`
//! that can only mean the column `CustomerID` is quoted here, before planning.

use crate::plan::catalog::{Catalog, plain_name};
use datafusion::sql::parser::{CopyToSource, Statement as DfStatement};
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, Statement as Ast, visit_expressions, visit_expressions_mut, visit_relations,
};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

/// Quote identifiers that mean a column with capitals.
pub(crate) fn quote_columns(statement: &mut DfStatement, tokens: &[TokenWithSpan], catalog: &Catalog) {
    let mut names = BTreeSet::new();
    on_asts(statement, &mut |ast| collect_names(ast, &mut names));
    let mut capitals = columns_with_capitals(&names, catalog);
    if capitals.is_empty() {
        return;
    }
    for alias in aliases(tokens) {
        capitals.remove(&alias);
    }
    on_asts(statement, &mut |ast| {
        let _ = visit_expressions_mut(ast, |expr| {
            match expr {
                Expr::Identifier(ident) => quote(ident, &capitals),
                Expr::CompoundIdentifier(idents) => idents.iter_mut().for_each(|ident| quote(ident, &capitals)),
                _ => {}
            }
            ControlFlow::<()>::Continue(())
        });
    });
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

/// Every word that may name a table: relations, and the first arguments of operators.
fn collect_names(ast: &Ast, names: &mut BTreeSet<String>) {
    let mut add = |name: &ObjectName| names.extend(plain_name(name).ok());
    let _ = visit_relations(ast, |name| {
        add(name);
        ControlFlow::<()>::Continue(())
    });
    let _ = visit_expressions(ast, |expr| {
        if let Expr::Identifier(ident) = expr {
            add(&ObjectName::from(vec![ident.clone()]));
        }
        ControlFlow::<()>::Continue(())
    });
}

/// For each folded name the column that it can only mean.
fn columns_with_capitals(names: &BTreeSet<String>, catalog: &Catalog) -> HashMap<String, String> {
    let mut columns: HashMap<String, Option<String>> = HashMap::new();
    let mut todo: Vec<String> = names.iter().filter_map(|name| catalog.resolve(name)).collect();
    let mut seen = BTreeSet::new();
    while let Some(name) = todo.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        if let Some(view) = catalog.views.read().get(&name).cloned() {
            let mut inner = BTreeSet::new();
            collect_names(&Ast::Query(view.query), &mut inner);
            todo.extend(inner.iter().filter_map(|name| catalog.resolve(name)));
            continue;
        }
        let Ok(table) = catalog.engine.table(&name) else { continue };
        for column in table.schema().columns {
            let folded = column.name.to_lowercase();
            let known = columns.entry(folded).or_insert_with(|| Some(column.name.clone()));
            if known.as_deref() != Some(column.name.as_str()) {
                *known = None;
            }
        }
    }
    let only = columns.into_iter().filter_map(|(folded, column)| column.map(|column| (folded, column)));
    only.filter(|(folded, column)| folded != column).collect()
}

/// Names that the statement gives itself with `AS`, folded.
fn aliases(tokens: &[TokenWithSpan]) -> Vec<String> {
    let words: Vec<&Token> = tokens.iter().map(|token| &token.token).collect();
    let after_as = words.windows(2).filter_map(|pair| match pair {
        [Token::Word(first), Token::Word(alias)] if first.value.eq_ignore_ascii_case("as") => Some(alias),
        _ => None,
    });
    after_as.filter(|alias| alias.quote_style.is_none()).map(|alias| alias.value.to_lowercase()).collect()
}

fn quote(ident: &mut Ident, capitals: &HashMap<String, String>) {
    if ident.quote_style.is_none()
        && let Some(column) = capitals.get(&ident.value.to_lowercase())
    {
        ident.value.clone_from(column);
        ident.quote_style = Some('"');
    }
}
