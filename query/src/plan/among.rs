//! `among => …`: an operator reads the events of the users of a segment, and of nobody else.
//!
//! It is the same as `WHERE user_id IN (SELECT user_id FROM SEGMENT(…))` in the input, and becomes that. Over an event table
//! the users are found first, and then chosen by their bitmaps.

use super::arguments::{AMONG, Call, NamedArgument, SEGMENT, Signature};
use super::node::OperatorNode;
use super::planner::Planner;
use super::segment::{self, Segment};
use crate::error::{Error, Result};
use datafusion::logical_expr::expr::InSubquery;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{Expr, Extension, Filter, LogicalPlan, Projection, Subquery};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned,
};
use std::sync::Arc;

const HINT: &str = "among => DID('purchase') AND DID_NOT('support'), or among => SEGMENT(events, where => …)";

/// `input` with the rows of the users whom the call's `among` names, where it has one.
///
/// # Errors
/// What is wrong with the argument, at its place.
pub(super) fn restricted(
    call: &mut Call,
    input: LogicalPlan,
    signature: &Signature,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let Some(argument) = call.take(AMONG) else { return Ok(input) };
    let users = users(call, &input, argument, context)?;
    let user = Planner::user(signature, call, &input, context)?;
    let plan = LogicalPlan::Extension(Extension { node: Arc::new(users) });
    // The optimizer asks for a list of one expression.
    let column = Expr::from(plan.schema().qualified_field(0));
    let plan = LogicalPlan::Projection(Projection::try_new(vec![column], Arc::new(plan))?);
    let subquery = Subquery { subquery: Arc::new(plan), outer_ref_columns: Vec::new(), spans: Default::default() };
    let is_one = Expr::InSubquery(InSubquery::new(Box::new(user), subquery, false));
    Ok(LogicalPlan::Filter(Filter::try_new(is_one, Arc::new(input))?))
}

/// The segment that an argument names.
fn users(
    call: &Call,
    input: &LogicalPlan,
    argument: NamedArgument,
    context: &mut dyn RelationPlannerContext,
) -> Result<OperatorNode<Segment>> {
    let signature = &segment::args::SIGNATURE;
    let span = argument.span;
    let own = |args: Vec<FunctionArg>| -> Result<Call> {
        let mut own = Call::over(call.input.clone(), span, args, signature)?;
        // The same columns of the same input play the same parts.
        let parts = ["user", "time", "name"].into_iter().filter_map(|part| call.find(part).cloned());
        let missing: Vec<_> = parts.filter(|part| own.find(&part.name).is_none()).collect();
        own.named.extend(missing);
        Ok(own)
    };
    let (segment, input) = match argument.value {
        SqlExpr::Function(of) if of.name.to_string().eq_ignore_ascii_case(SEGMENT) => {
            let (name, args) = (of.name.clone(), arguments(of)?);
            match args.first() {
                Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(_))) => {
                    let other = Call::read(&name, args, signature)?;
                    let input = context.plan(other.input.clone())?;
                    (other, input)
                }
                _ => (own(args)?, input.clone()),
            }
        }
        expr => {
            let mut segment = own(Vec::new())?;
            segment.named.push(NamedArgument { name: "where".into(), value: expr, span });
            (segment, input.clone())
        }
    };
    if let Some(given) = segment.find("emit") {
        return Err(Error::invalid("among takes the users of a segment, whatever it would show")
            .with_hint("leave emit away")
            .at(given.span));
    }
    segment::args::plan_users(segment, input, context)
}

fn arguments(of: Function) -> Result<Vec<FunctionArg>> {
    let span = of.name.span();
    match of.args {
        FunctionArguments::List(list) => Ok(list.args),
        FunctionArguments::None | FunctionArguments::Subquery(_) => {
            Err(Error::invalid("SEGMENT needs arguments in parentheses").with_hint(HINT).at(span))
        }
    }
}
