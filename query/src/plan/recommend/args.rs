//! From a call of RECOMMEND or RECOMMEND_EVAL to its logical node.

use super::using::Using;
use super::{Ask, Evaluate, Recommend, SeenWords, item_facts};
use crate::error::{Error, Result};
use crate::plan::arguments::{Call, NamedArgument, Signature, list_items, part_arguments, string_literal};
use crate::plan::node::{OperatorNode, Role};
use crate::plan::planner::Planner;
use datafusion::common::DFSchema;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{LogicalPlan, lit};
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, Spanned};
use datafusion::sql::sqlparser::tokenizer::Span;

/// Kinds of events that one call can tell apart: a condition each, beside that of candidates.
const KINDS_MAX: usize = 60;

const LIST_ARGUMENTS: &[&str] = &[
    "item",
    "for_user",
    "for_item",
    "for_items",
    "using",
    "variant",
    "similarity",
    "weights",
    "half_life",
    "window",
    "top",
    "seen",
    "exclude",
    "candidates",
    "boost",
    "diversify",
    "as_of",
    "emit",
    "user",
    "time",
    "name",
];

const EVAL_ARGUMENTS: &[&str] = &[
    "item",
    "using",
    "variant",
    "similarity",
    "weights",
    "half_life",
    "window",
    "seen",
    "exclude",
    "candidates",
    "boost",
    "diversify",
    "split",
    "k",
    "protocol",
    "user",
    "time",
    "name",
];

/// The words of RECOMMEND.
pub(crate) const SIGNATURE: Signature = Signature {
    operator: "RECOMMEND",
    arguments: LIST_ARGUMENTS,
    parts: &["WEIGHTS"],
    example: "RECOMMEND(events, item => product_id, for_user => 'u1', weights => WEIGHTS(purchase => 5, view => 1))",
};

/// The words of RECOMMEND_EVAL.
pub(crate) const EVAL_SIGNATURE: Signature = Signature {
    operator: "RECOMMEND_EVAL",
    arguments: EVAL_ARGUMENTS,
    parts: &["WEIGHTS"],
    example: "RECOMMEND_EVAL(events, item => product_id, using => ['popular', 'item_knn'], split => TIMESTAMP '2026-03-01')",
};

/// Plan a call of RECOMMEND over `input`.
///
/// # Errors
/// `InvalidInput` or `NotFound` at the argument that is wrong.
pub(crate) fn plan(
    mut call: Call,
    input: LogicalPlan,
    context: &mut dyn RelationPlannerContext,
) -> Result<OperatorNode<Recommend>> {
    let mut planner = Planner::new(&SIGNATURE, &mut call, &input, context)?;
    item(&mut planner, &mut call, &SIGNATURE)?;
    let ask = every_item(&mut planner, &mut call)?;
    let kinds = kinds(&mut planner, &mut call, &SIGNATURE)?;
    let span_of = |name: &str| call.find(name).map_or(call.span, |argument| argument.span);
    let (using, variant) = (span_of("using"), span_of("variant"));
    let shared = shared(&mut planner, &mut call, &kinds, input.schema())?;
    match shared.using {
        Using::Each(2..) => {
            return Err(Error::invalid("RECOMMEND takes one algorithm")
                .with_hint("RECOMMEND_EVAL compares several; FALLBACK asks one after the other; 'blend' adds two")
                .at(using));
        }
        Using::Variants(_) if !matches!(ask, Ask::EveryUser | Ask::User) => {
            return Err(Error::invalid("variant divides users, and this list is for none")
                .with_hint("use for_user, or leave for_item, for_items and emit away")
                .at(variant));
        }
        _ => {}
    }
    for name in ["top", "as_of"] {
        planner.constant(&mut call, name)?;
    }
    let operator = Recommend { ask, ..shared };
    planner.finish(operator, Vec::new(), input, call.span)
}

/// Plan a call of RECOMMEND_EVAL over `input`.
///
/// # Errors
/// `InvalidInput` or `NotFound` at the argument that is wrong.
pub(crate) fn plan_eval(
    mut call: Call,
    input: LogicalPlan,
    context: &mut dyn RelationPlannerContext,
) -> Result<OperatorNode<Evaluate>> {
    let mut planner = Planner::new(&EVAL_SIGNATURE, &mut call, &input, context)?;
    item(&mut planner, &mut call, &EVAL_SIGNATURE)?;
    let kinds = kinds(&mut planner, &mut call, &EVAL_SIGNATURE)?;
    let shared = shared(&mut planner, &mut call, &kinds, input.schema())?;
    if !planner.constant(&mut call, "split")? {
        return Err(Error::invalid("RECOMMEND_EVAL needs the time that divides the past from what was to be found")
            .with_hint("split => TIMESTAMP '2026-03-01'")
            .at(call.span));
    }
    for name in ["k", "protocol"] {
        planner.constant(&mut call, name)?;
    }
    planner.finish(Evaluate(shared), Vec::new(), input, call.span)
}

/// The column that names the item.
fn item(planner: &mut Planner<'_>, call: &mut Call, signature: &Signature) -> Result<()> {
    let Some(argument) = call.take("item") else {
        return Err(Error::invalid(format!("{} needs the column that names the item", signature.operator))
            .with_hint(signature.example)
            .at(call.span));
    };
    let expr = planner.expr(argument.value)?;
    planner.push(Role::Column(0), expr, argument.span);
    Ok(())
}

/// For whom or what the lists are: `emit => 'items'` makes one for every item in place of every user.
fn every_item(planner: &mut Planner<'_>, call: &mut Call) -> Result<Ask> {
    let span = call.find("emit").map_or(call.span, |emit| emit.span);
    let emit = planner.word(call, "emit", &["list", "items"])?;
    match (ask(planner, call)?, emit) {
        (Ask::EveryUser, Some(1)) => Ok(Ask::EveryItem),
        (ask, Some(1)) => {
            let name = ask.argument();
            Err(Error::invalid(format!("emit => 'items' makes a list for every item, and {name} asks for one list"))
                .with_hint("leave one of them away")
                .at(span))
        }
        (ask, _) => Ok(ask),
    }
}

/// For whom or what the list is.
fn ask(planner: &mut Planner<'_>, call: &mut Call) -> Result<Ask> {
    let given: Vec<(&str, NamedArgument)> = ["for_user", "for_item", "for_items"]
        .into_iter()
        .filter_map(|name| call.take(name).map(|argument| (name, argument)))
        .collect();
    if let [_, (_, second), ..] = given.as_slice() {
        return Err(Error::invalid("a list is for a user, an item, or a basket: only one of them")
            .with_hint("leave the others away")
            .at(second.span));
    }
    let Some((name, argument)) = given.into_iter().next() else { return Ok(Ask::EveryUser) };
    let span = argument.span;
    let (ask, items) = match name {
        "for_user" => (Ask::User, vec![argument.value]),
        "for_item" => (Ask::Item, vec![argument.value]),
        _ => (Ask::Items, list_items(argument.value)),
    };
    if items.is_empty() {
        return Err(Error::invalid("the basket is empty").with_hint("name an item").at(span));
    }
    for (i, value) in items.into_iter().enumerate() {
        let expr = planner.expr(value)?;
        planner.push(Role::Constant("for", i), expr, span);
    }
    Ok(ask)
}

/// A kind of event: its name, where names tell kinds apart, and what an event of it is worth.
struct Kind {
    name: Option<String>,
    /// Whether it has an argument of its own that says what it is worth; otherwise it is worth 1, or nothing.
    weighs: bool,
}

/// `weights => WEIGHTS(purchase => 5, …)`: a condition and a constant a kind. Without it, every event is of one kind.
fn kinds(planner: &mut Planner<'_>, call: &mut Call, signature: &Signature) -> Result<Vec<Kind>> {
    let part = call.parts.pop();
    let argument = call.take("weights");
    let (part, span) = match (part, argument) {
        (None, None) => {
            planner.push(Role::Condition(0), lit(true), call.span);
            return Ok(vec![Kind { name: None, weighs: false }]);
        }
        (Some(part), None) => {
            let span = part.name.span();
            (part, span)
        }
        (None, Some(NamedArgument { value: SqlExpr::Function(part), span, .. }))
            if part.name.to_string().eq_ignore_ascii_case("WEIGHTS") =>
        {
            (part, span)
        }
        (None, Some(argument)) => {
            return Err(Error::invalid("weights takes WEIGHTS(name => number, …)")
                .with_hint(signature.example)
                .at(argument.span));
        }
        (Some(part), Some(_)) => {
            return Err(Error::invalid("the weights are given twice").at(part.name.span()));
        }
    };
    let weights = part_arguments(part)?;
    if weights.is_empty() || weights.len() > KINDS_MAX {
        let message = format!("WEIGHTS takes 1 to {KINDS_MAX} events, not {}", weights.len());
        return Err(Error::invalid(message).with_hint("weights => WEIGHTS(purchase => 5, product_view => 1)").at(span));
    }
    let mut kinds: Vec<Kind> = Vec::with_capacity(weights.len());
    for (i, (name, value)) in weights.into_iter().enumerate() {
        let Some(name) = name else {
            return Err(Error::invalid("a weight needs the name of the event before it")
                .with_hint("WEIGHTS(purchase => 5, \"Add To Cart\" => 3)")
                .at(value.span()));
        };
        let place = name.span;
        // Names of events are data: they keep their case.
        let name = name.value;
        if kinds.iter().any(|kind| kind.name.as_ref() == Some(&name)) {
            return Err(Error::invalid(format!("the weight of '{name}' is given twice")).at(place));
        }
        named_kind(planner, i, &name, place)?;
        let weight = planner.expr(value)?;
        planner.push(Role::Constant("weight", i), weight, place);
        kinds.push(Kind { name: Some(name), weighs: true });
    }
    Ok(kinds)
}

fn named_kind(planner: &mut Planner<'_>, kind: usize, name: &str, span: Span) -> Result<()> {
    let condition = planner.condition(super::text(name))?;
    planner.push(Role::Condition(kind), condition, span);
    Ok(())
}

/// Arguments that both operators have.
fn shared(planner: &mut Planner<'_>, call: &mut Call, kinds: &[Kind], input: &DFSchema) -> Result<Recommend> {
    let mut names: Vec<Option<String>> = kinds.iter().map(|kind| kind.name.clone()).collect();
    let weighed = kinds.iter().filter(|kind| kind.weighs).count();
    let seen = seen(planner, call, &mut names)?;
    let candidates = match call.take("candidates") {
        None => false,
        Some(argument) => {
            let condition = planner.condition(argument.value)?;
            planner.push(Role::Condition(names.len()), condition, argument.span);
            true
        }
    };
    let facts = item_facts::plan(planner, call, input)?;
    let using = Using::plan(planner, call)?;
    let exclude = planner.list(call, "exclude", |i| Role::Constant("exclude", i))?;
    for name in ["similarity", "half_life", "window"] {
        planner.constant(call, name)?;
    }
    Ok(Recommend { ask: Ask::EveryUser, kinds: names.len(), weighed, seen, candidates, facts, using, exclude })
}

/// `seen => 'exclude'`, `'include'`, or the names of the events that make an item seen, each of which is a kind.
fn seen(planner: &mut Planner<'_>, call: &mut Call, names: &mut Vec<Option<String>>) -> Result<SeenWords> {
    let Some(argument) = call.take("seen") else { return Ok(SeenWords::Default) };
    let hint = "seen is 'exclude', 'include', or a list of events: seen => ['purchase']";
    match string_literal(&argument.value) {
        Some(word) if word.eq_ignore_ascii_case("exclude") => return Ok(SeenWords::Exclude),
        Some(word) if word.eq_ignore_ascii_case("include") => return Ok(SeenWords::Include),
        Some(word) => return Err(Error::invalid(format!("seen cannot be '{word}'")).with_hint(hint).at(argument.span)),
        None => {}
    }
    let mut kinds = Vec::new();
    for item in list_items(argument.value) {
        let Some(name) = string_literal(&item).map(String::from) else {
            return Err(Error::invalid("seen takes names of events").with_hint(hint).at(argument.span));
        };
        if names.first() == Some(&None) {
            return Err(Error::invalid("seen can name events only where WEIGHTS does")
                .with_hint("weights => WEIGHTS(purchase => 5, product_view => 1), seen => ['purchase']")
                .at(argument.span));
        }
        let kind = match names.iter().position(|other| other.as_ref() == Some(&name)) {
            Some(kind) => kind,
            None if names.len() >= KINDS_MAX => {
                return Err(Error::invalid(format!("weights and seen name more than {KINDS_MAX} events"))
                    .with_hint("name fewer of them")
                    .at(argument.span));
            }
            None => {
                named_kind(planner, names.len(), &name, argument.span)?;
                names.push(Some(name));
                names.len() - 1
            }
        };
        kinds.push(kind as u8);
    }
    Ok(SeenWords::Kinds(kinds))
}
