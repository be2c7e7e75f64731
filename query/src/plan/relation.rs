//! The operators in the place of a table: `FROM FUNNEL(events, …)`.

use super::arguments::{Call, Signature};
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
        let node: Arc<dyn UserDefinedLogicalNode> = match operator.as_str() {
            "funnel" => {
                let (call, input) = read(&name, args.args, &funnel::args::SIGNATURE, context)?;
                Arc::new(funnel::args::plan(call, input, context)?)
            }
            "path" => {
                let (call, input) = read(&name, args.args, &path::args::SIGNATURE, context)?;
                Arc::new(path::args::plan(call, input, context)?)
            }
            "lifecycle" => {
                let (call, input) = read(&name, args.args, &lifecycle::args::SIGNATURE, context)?;
                Arc::new(lifecycle::args::plan(call, input, context)?)
            }
            "stickiness" => {
                let (call, input) = read(&name, args.args, &stickiness::args::SIGNATURE, context)?;
                Arc::new(stickiness::args::plan(call, input, context)?)
            }
            "rfm" => {
                let (call, input) = read(&name, args.args, &rfm::args::SIGNATURE, context)?;
                Arc::new(rfm::args::plan(call, input, context)?)
            }
            "sessions" => {
                let (call, input) = read(&name, args.args, &sessions::args::SIGNATURE, context)?;
                Arc::new(sessions::args::plan(call, input, context)?)
            }
            "segment" => {
                let (call, input) = read(&name, args.args, &segment::args::SIGNATURE, context)?;
                Arc::new(segment::args::plan(call, input, context)?)
            }
            "recommend" => {
                let (call, input) = read(&name, args.args, &recommend::args::SIGNATURE, context)?;
                Arc::new(recommend::args::plan(call, input, context)?)
            }
            "recommend_eval" => {
                let (call, input) = read(&name, args.args, &recommend::args::EVAL_SIGNATURE, context)?;
                Arc::new(recommend::args::plan_eval(call, input, context)?)
            }
            _ => {
                let (call, input) = read(&name, args.args, &retention::args::SIGNATURE, context)?;
                Arc::new(retention::args::plan(call, input, context)?)
            }
        };
        let plan = LogicalPlan::Extension(Extension { node });
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

/// A call and the plan of what it reads.
fn read(
    name: &ObjectName,
    args: Vec<FunctionArg>,
    signature: &Signature,
    context: &mut dyn RelationPlannerContext,
) -> Result<(Call, LogicalPlan)> {
    let mut call = Call::read(name, args, signature)?;
    let input = context.plan(call.input.clone())?;
    let input = among::restricted(&mut call, input, signature, context)?;
    Ok((call, input))
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
