//! The operators in the place of a table: `FROM FUNNEL(events, …)`.

use super::arguments::{AMONG, COMPARE, Call, Signature};
use super::compare::{Compare, Compared};
use super::node::OperatorNode;
use super::operator::Operator;
use super::{among, funnel, lifecycle, path, recommend, retention, rfm, segment, sessions, stickiness};
use crate::error::{Error, ErrorKind, closest};
use crate::profiles;
use datafusion::common::Result;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Extension, LogicalPlan, UserDefinedLogicalNode};
use datafusion::sql::sqlparser::ast::{FunctionArg, ObjectName, Spanned, TableFactor, TableSampleKind};
use datafusion::sql::sqlparser::tokenizer::Span;
use std::sync::Arc;

/// Plans calls of the operators; every other relation is left to DataFusion.
#[derive(Debug)]
pub(crate) struct OperatorPlanner;

/// Operators of this version.
pub(crate) const OPERATORS: [&str; 10] = [
    "funnel",
    "path",
    "retention",
    "lifecycle",
    "stickiness",
    "rfm",
    "sessions",
    "segment",
    "recommend",
    "recommend_eval",
];

impl RelationPlanner for OperatorPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        refuse_modifiers(&relation)?;
        let TableFactor::Table { name, alias, args: Some(args), .. } = relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let operator = name.to_string().to_lowercase();
        if operator == "profiles" {
            let plan = profiles::relation::plan(&name, args.args, context)?;
            return Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))));
        }
        if !OPERATORS.contains(&operator.as_str()) {
            let table = TableFactor::Table {
                name,
                alias,
                args: Some(args),
                with_hints: Vec::new(),
                version: None,
                with_ordinality: false,
                partitions: Vec::new(),
                json_path: None,
                sample: None,
                index_hints: Vec::new(),
            };
            return self.other(table, &operator);
        }
        let args = args.args;
        let plan = match operator.as_str() {
            "funnel" => compared(&name, args, &funnel::args::SIGNATURE, funnel::args::plan, context)?,
            "retention" => compared(&name, args, &retention::args::SIGNATURE, retention::args::plan, context)?,
            "stickiness" => compared(&name, args, &stickiness::args::SIGNATURE, stickiness::args::plan, context)?,
            "rfm" => compared(&name, args, &rfm::args::SIGNATURE, rfm::args::plan, context)?,
            "path" => alone(&name, args, &path::args::SIGNATURE, path::args::plan, context)?,
            "lifecycle" => alone(&name, args, &lifecycle::args::SIGNATURE, lifecycle::args::plan, context)?,
            "sessions" => alone(&name, args, &sessions::args::SIGNATURE, sessions::args::plan, context)?,
            "segment" => alone(&name, args, &segment::args::SIGNATURE, segment::args::plan, context)?,
            "recommend" => alone(&name, args, &recommend::args::SIGNATURE, recommend::args::plan, context)?,
            _ => alone(&name, args, &recommend::args::EVAL_SIGNATURE, recommend::args::plan_eval, context)?,
        };
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

/// From a call, and the plan of what it reads, to the node of its operator.
type PlanCall<O> = fn(Call, LogicalPlan, &mut dyn RelationPlannerContext) -> Result<OperatorNode<O>, Error>;

/// The plan of a call of an operator that compares nothing.
fn alone<O: Operator>(
    name: &ObjectName,
    args: Vec<FunctionArg>,
    signature: &Signature,
    plan: PlanCall<O>,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let call = Call::read(name, args, signature)?;
    let input = context.plan(call.input.clone())?;
    Ok(extension(of_users(call, input, signature, plan, context)?))
}

/// The plan of a call of an operator that may have `compare`.
fn compared<O: Compared>(
    name: &ObjectName,
    args: Vec<FunctionArg>,
    signature: &Signature,
    plan: PlanCall<O>,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let mut call = Call::read(name, args, signature)?;
    let input = context.plan(call.input.clone())?;
    let Some(compare) = call.take(COMPARE) else {
        return Ok(extension(of_users(call, input, signature, plan, context)?));
    };
    let (span, of_compare) = (call.span, compare.span);
    let mut other = call.clone();
    other.take(AMONG);
    let node = of_users(call, input.clone(), signature, plan, context)?;
    let shares = node.operator.shares(node.frame.by.len()).map_err(|error| error.at(of_compare))?;
    let input = among::restricted(&other, compare, input, signature, context)?;
    let other = plan(other, input, context)?;
    let sides = [extension(node), extension(other)];
    Ok(extension(Compare::new(&shares, sides).map_err(|error| error.at(span))?))
}

/// The node of a call, over the events of the users of `among`, where there is one.
fn of_users<O: Operator>(
    mut call: Call,
    input: LogicalPlan,
    signature: &Signature,
    plan: PlanCall<O>,
    context: &mut dyn RelationPlannerContext,
) -> Result<OperatorNode<O>> {
    let input = match call.take(AMONG) {
        Some(among) => among::restricted(&call, among, input, signature, context)?,
        None => input,
    };
    Ok(plan(call, input, context)?)
}

fn extension(node: impl UserDefinedLogicalNode + 'static) -> LogicalPlan {
    LogicalPlan::Extension(Extension { node: Arc::new(node) })
}

/// Refuse what SQL lets stand behind a relation and DataFusion would drop without a word.
fn refuse_modifiers(relation: &TableFactor) -> Result<(), Error> {
    let refused = |what: &str, span: Span| {
        Err(Error::unsupported(format!("{what} is not offered"))
            .with_hint("leave it away; ORDER BY random() LIMIT n takes a sample")
            .at(span))
    };
    match relation {
        TableFactor::Table { sample: Some(sample), .. } | TableFactor::Derived { sample: Some(sample), .. } => {
            let (TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample)) = sample;
            let amount = sample.quantity.as_ref().map(|quantity| quantity.value.span());
            let known = amount.filter(|span| *span != Span::empty());
            refused("TABLESAMPLE", known.unwrap_or_else(|| relation.span()))
        }
        TableFactor::Table { name, with_ordinality: true, .. } => refused("WITH ORDINALITY", name.span()),
        TableFactor::Table { name, version: Some(_), .. } => refused("a version of a table", name.span()),
        TableFactor::Table { name, with_hints, .. } if !with_hints.is_empty() => refused("WITH (…)", name.span()),
        TableFactor::Table { name, partitions, .. } if !partitions.is_empty() => refused("PARTITION", name.span()),
        TableFactor::Table { name, json_path: Some(_), .. } => refused("a path into a table", name.span()),
        TableFactor::Table { name, index_hints, .. } if !index_hints.is_empty() => {
            refused("a hint for an index", name.span())
        }
        TableFactor::Table { name, args: Some(args), .. } if args.settings.is_some() => {
            refused("SETTINGS", name.span())
        }
        _ => Ok(()),
    }
}

impl OperatorPlanner {
    /// A table function of DataFusion, or a misspelt operator: only operators take arguments by name.
    fn other(&self, table: TableFactor, operator: &str) -> Result<RelationPlanning> {
        if let TableFactor::Table { name, args: Some(args), .. } = &table
            && args.args.iter().any(|arg| matches!(arg, FunctionArg::Named { .. }))
        {
            let near = match closest(operator, OPERATORS) {
                Some(near) => format!("did you mean {}?", near.to_uppercase()),
                None => {
                    "there are FUNNEL, PATH, RETENTION, LIFECYCLE, STICKINESS, RFM, SESSIONS, SEGMENT and RECOMMEND"
                        .into()
                }
            };
            let message = format!("no operator is called '{operator}'");
            return Err(Error::new(ErrorKind::NotFound, message).with_hint(near).at(name.span()).into());
        }
        Ok(RelationPlanning::Original(Box::new(table)))
    }
}
