//! Gives calls of functions of tags the members of their tags, as of the statement's snapshot. The last step before a plan
//! is lowered.

use super::function::TagFunction;
use super::no_such_tag;
use crate::error::{Error, Result};
use crate::plan::catalog::Names;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, LogicalPlan};
use std::cell::RefCell;
use std::collections::HashMap;

/// The plan with the members of every tag that it asks for.
///
/// # Errors
/// `NotFound` for a tag that was dropped meanwhile, `InvalidInput` for a value of a tag without values, `Corrupt`.
pub(crate) fn bind(plan: LogicalPlan, names: &Names) -> Result<LogicalPlan> {
    // So that equal calls stay equal, and members are put together once.
    let known: RefCell<HashMap<(TagFunction, Option<String>), TagFunction>> = RefCell::default();
    map_calls(plan, &|_, function, args| {
        let (Some((table, tag)), None) = (&function.means, &function.bound) else { return Ok(None) };
        let value = args.get(2).map(text_of).transpose()?.flatten();
        let key = (function.clone(), value.map(String::from));
        if let Some(bound) = known.borrow().get(&key) {
            return Ok(Some(bound.clone()));
        }
        let pinned = names.pinned(table)?;
        let tags = pinned.snapshot.tags();
        let found = tags.get(tag).ok_or_else(|| no_such_tag(tag, table, &tags))?;
        let bound = function.with_tag(&pinned.snapshot, &found, value)?;
        known.borrow_mut().insert(key, bound.clone());
        Ok(Some(bound))
    })
}

/// Whether a plan asks for tags.
///
/// # Errors
/// None in practice: those of walking through a plan.
pub(crate) fn asks_for_tags(plan: &LogicalPlan) -> Result<bool> {
    let mut asks = false;
    plan.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expr| {
            asks |= expr.exists(|expr| Ok(is_call(expr)))?;
            Ok(if asks { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        Ok(if asks { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(asks)
}

fn is_call(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if TagFunction::of(call).is_some())
}

/// What becomes of a call over `inputs` with these arguments; `None`: it stays.
type Change<'a> = dyn Fn(&[LogicalPlan], &TagFunction, &[Expr]) -> Result<Option<TagFunction>> + 'a;

/// The plan with `change` made to every call of a function of tags.
pub(super) fn map_calls(plan: LogicalPlan, change: &Change<'_>) -> Result<LogicalPlan> {
    if !asks_for_tags(&plan)? {
        return Ok(plan);
    }
    let changed = plan.transform_up_with_subqueries(|node| {
        let inputs: Vec<LogicalPlan> = node.inputs().into_iter().cloned().collect();
        node.map_expressions(|expr| {
            expr.transform_up(|expr| {
                let Expr::ScalarFunction(call) = &expr else { return Ok(Transformed::no(expr)) };
                let Some(function) = TagFunction::of(call) else { return Ok(Transformed::no(expr)) };
                Ok(match change(&inputs, function, &call.args)? {
                    Some(function) => Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(
                        function.into_udf(),
                        call.args.clone(),
                    ))),
                    None => Transformed::no(expr),
                })
            })
        })
    })?;
    Ok(changed.data)
}

/// The tag that a call names.
///
/// # Errors
/// `InvalidInput` for what is not written out.
pub(super) fn tag_named(args: &[Expr]) -> Result<&str> {
    let Some(name) = args.get(1) else { return Err(Error::invalid("no tag is named")) };
    if let Some(value) = args.get(2) {
        text_of(value)?;
    }
    text_of(name)?.ok_or_else(|| Error::invalid("the tag is NULL").with_hint("write the name of a tag: 'vip'"))
}

/// A text that is written out; `None` for NULL.
fn text_of(expr: &Expr) -> Result<Option<&str>> {
    match expr {
        Expr::Literal(value, _) if value.is_null() => Ok(None),
        Expr::Literal(value, _) => match value.try_as_str() {
            Some(text) => Ok(text),
            None => Err(Error::invalid(format!("a tag and its value are texts, and this is {value}"))),
        },
        Expr::Cast(cast) => text_of(&cast.expr),
        Expr::Alias(alias) => text_of(&alias.expr),
        other => Err(Error::invalid(format!("a tag and its value must be written out, not computed: {other}"))
            .with_hint("write their names in quotes: HAS_TAG(user_id, 'tier', 'gold')")),
    }
}
