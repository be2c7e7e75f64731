//! The boolean expression of a segment as it stands in the statement: `AND`, `OR`, `NOT` over what users did, their tags and
//! their profiles.

use super::Segment;
use super::deed_constant;
use super::user_conditions::Users;
use crate::error::{Error, ErrorKind, Result, closest};
use crate::plan::arguments::{part_arguments, string_literal};
use crate::plan::constants;
use crate::plan::node::{OperatorNode, Role};
use crate::plan::planner::Planner;
use crate::profiles::condition::over_profiles;
use crate::tags::function::TagFunction;
use datafusion::common::DFSchemaRef;
use datafusion::logical_expr::{Expr, LogicalPlan, lit};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr as SqlExpr, Function, Ident, Spanned, UnaryOperator, Value, Visit, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use std::fmt;
use std::ops::ControlFlow;

/// Conditions that one segment can tell apart: the bits of a mask.
const CONDITIONS_MAX: usize = 64;
/// Parentheses and operators inside each other.
const DEPTH_MAX: usize = 200;
/// The arguments of `DID` beside its condition.
pub(super) const DEED_ARGUMENTS: [&str; 7] =
    ["at_least", "at_most", "exactly", "days_at_least", "within", "since", "until"];
const EXAMPLE: &str = "where => DID('purchase', at_least => 2) AND DID_NOT('support') AND TAG('vip') AND plan = 'pro'";

/// A boolean expression over deeds, tags and profiles.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Shape {
    /// The `DID` of this number.
    Did(usize),
    /// The condition of this number on users.
    Whose(usize),
    All(Vec<Shape>),
    Any(Vec<Shape>),
    Not(Box<Shape>),
}

/// Reads expressions, and collects their deeds and conditions.
pub(super) struct Reader<'p, 'a> {
    pub(super) planner: &'p mut Planner<'a>,
    /// The columns of the input.
    pub(super) columns: DFSchemaRef,
    pub(super) users: Users,
    conditions: Vec<Expr>,
    /// For each `DID` the number of its condition.
    pub(super) deeds: Vec<usize>,
}

impl<'p, 'a> Reader<'p, 'a> {
    /// For expressions over `input`. The constant `as_of` was planned before.
    ///
    /// # Errors
    /// None in practice.
    pub(super) fn new(planner: &'p mut Planner<'a>, input: &LogicalPlan) -> Result<Self> {
        let (columns, users) = (input.schema().clone(), Users::of(input)?);
        Ok(Self { planner, columns, users, conditions: Vec::new(), deeds: Vec::new() })
    }

    /// An expression that was written as the argument `argument`.
    ///
    /// # Errors
    /// `InvalidInput`, `NotFound` or `ResourceLimit` at the part that is wrong.
    pub(super) fn read(&mut self, expr: SqlExpr, argument: Span) -> Result<Shape> {
        self.shape(expr, argument, 0)
    }

    fn shape(&mut self, expr: SqlExpr, place: Span, depth: usize) -> Result<Shape> {
        let place = or(expr.span(), place);
        if depth > DEPTH_MAX {
            let message = format!("more than {DEPTH_MAX} parts of an expression inside each other");
            return Err(Error::new(ErrorKind::ResourceLimit, message)
                .with_hint("write a AND b AND c without parentheses")
                .at(place));
        }
        match expr {
            SqlExpr::Nested(inner) => self.shape(*inner, place, depth + 1),
            SqlExpr::BinaryOp { op: ref of @ (BinaryOperator::And | BinaryOperator::Or), .. } => {
                let op = of.clone();
                let mut parts = Vec::new();
                for part in operands(expr, &op) {
                    parts.push(self.shape(part, place, depth + 1)?);
                }
                Ok(if op == BinaryOperator::And { Shape::All(parts) } else { Shape::Any(parts) })
            }
            SqlExpr::UnaryOp { op: UnaryOperator::Not, expr } => {
                let shape = self.shape(*expr, place, depth + 1)?;
                self.negated(shape, place)
            }
            SqlExpr::Function(call) if is_called(&call, "did") => self.did(call),
            SqlExpr::Function(call) if is_called(&call, "did_not") => Ok(Shape::Not(Box::new(self.did(call)?))),
            SqlExpr::Function(call) if is_called(&call, "tag") => self.tag(call),
            SqlExpr::Value(value) if matches!(value.value, Value::Boolean(_)) => Ok(match value.value {
                Value::Boolean(true) => Shape::All(Vec::new()),
                _ => Shape::Any(Vec::new()),
            }),
            other => match no_part(&other) {
                Some(error) => Err(error.at(place)),
                None => self.profile(other, place),
            },
        }
    }

    /// `DID(condition, name => value, …)`; without a condition any event.
    fn did(&mut self, call: Function) -> Result<Shape> {
        let (span, name) = (call.name.span(), call.name.to_string().to_uppercase());
        let deed = self.deeds.len();
        let mut condition = None;
        for (argument, value) in part_arguments(call)? {
            match argument {
                None if condition.is_none() => {
                    let place = or(value.span(), span);
                    condition = Some((self.planner.condition(value)?, place));
                }
                None => {
                    return Err(Error::invalid(format!("{name} takes one condition"))
                        .with_hint("join conditions with AND or OR; what else there is has a name: at_least => 2")
                        .at(or(value.span(), span)));
                }
                Some(argument) => self.argument(&name, deed, &argument, value)?,
            }
        }
        let (condition, place) = condition.unwrap_or_else(|| (lit(true), span));
        let condition = self.number(condition, place)?;
        self.deeds.push(condition);
        Ok(Shape::Did(deed))
    }

    /// The number of a condition: the same one has one number, however often it stands there.
    fn number(&mut self, condition: Expr, place: Span) -> Result<usize> {
        if let Some(known) = self.conditions.iter().position(|known| *known == condition) {
            return Ok(known);
        }
        let number = self.conditions.len();
        if number >= CONDITIONS_MAX {
            let message = format!("a segment tells at most {CONDITIONS_MAX} different conditions apart");
            return Err(Error::new(ErrorKind::ResourceLimit, message)
                .with_hint("name several events in one condition: DID(['a', 'b'])")
                .at(place));
        }
        self.conditions.push(condition.clone());
        self.planner.push(Role::Condition(number), condition, place);
        Ok(number)
    }

    fn argument(&mut self, call: &str, deed: usize, argument: &Ident, value: SqlExpr) -> Result<()> {
        let key = argument.value.to_lowercase();
        let Some(name) = DEED_ARGUMENTS.into_iter().find(|name| *name == key) else {
            let near = closest(&key, DEED_ARGUMENTS).map(|near| format!("did you mean '{near}'? "));
            let hint = format!("{}its arguments are {}", near.unwrap_or_default(), DEED_ARGUMENTS.join(", "));
            return Err(Error::invalid(format!("{call} has no argument '{key}'")).with_hint(hint).at(argument.span));
        };
        if self.planner.has(deed_constant(name, deed)) {
            return Err(Error::invalid(format!("argument '{name}' of {call} is given twice"))
                .with_hint("leave one of them away")
                .at(argument.span));
        }
        let value = self.planner.expr(value)?;
        self.planner.push(deed_constant(name, deed), value, argument.span);
        Ok(())
    }
}

/// Why this is no condition on a profile either.
fn no_part(expr: &SqlExpr) -> Option<Error> {
    if let Some(name) = string_literal(expr) {
        return Some(
            Error::invalid("a segment is made of what users did, not of names of events")
                .with_hint(format!("write DID('{name}')")),
        );
    }
    if holds_part(expr) {
        return Some(Error::invalid("DID and TAG stand alone, or in AND, OR, NOT and parentheses").with_hint(EXAMPLE));
    }
    if columns_of(expr).is_empty() {
        return Some(Error::invalid(format!("'{expr}' says nothing of a user")).with_hint(EXAMPLE));
    }
    None
}

/// The operands of a chain of the same operator, in order: a long one must not become deep.
fn operands(expr: SqlExpr, op: &BinaryOperator) -> Vec<SqlExpr> {
    let (mut found, mut rest) = (Vec::new(), expr);
    loop {
        match rest {
            SqlExpr::BinaryOp { left, op: other, right } if other == *op => {
                found.push(*right);
                rest = *left;
            }
            first => {
                found.push(first);
                found.reverse();
                return found;
            }
        }
    }
}

fn is_called(call: &Function, name: &str) -> bool {
    call.name.to_string().eq_ignore_ascii_case(name)
}

/// `span`, or `place` where it is not known.
pub(super) fn or(span: Span, place: Span) -> Span {
    if span == Span::empty() { place } else { span }
}

fn holds_part(expr: &SqlExpr) -> bool {
    let mut holds = false;
    each_part(expr, |expr| {
        holds |= matches!(expr, SqlExpr::Function(call) if ["did", "did_not", "tag"].iter().any(|name| is_called(call, name)));
    });
    holds
}

/// The columns that an expression names.
pub(super) fn columns_of(expr: &SqlExpr) -> Vec<Ident> {
    let mut columns = Vec::new();
    each_part(expr, |expr| match expr {
        SqlExpr::Identifier(name) => columns.push(name.clone()),
        SqlExpr::CompoundIdentifier(names) => columns.extend(names.last().cloned()),
        _ => {}
    });
    columns
}

/// Gives `look` an expression and all of its parts.
fn each_part(expr: &SqlExpr, look: impl FnMut(&SqlExpr)) {
    struct Search<F>(F);
    impl<F: FnMut(&SqlExpr)> Visitor for Search<F> {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &SqlExpr) -> ControlFlow<()> {
            (self.0)(expr);
            ControlFlow::Continue(())
        }
    }
    let _ = expr.visit(&mut Search(look));
}

impl Shape {
    /// The expression with the conditions and arguments of `node`, for plans.
    pub(super) fn show<'s>(&'s self, node: &'s OperatorNode<Segment>) -> Shown<'s> {
        Shown { shape: self, node }
    }
}

/// A [`Shape`] as plans show it.
pub(super) struct Shown<'s> {
    shape: &'s Shape,
    node: &'s OperatorNode<Segment>,
}

impl Shown<'_> {
    fn parts(&self, parts: &[Shape], word: &str, none: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if parts.is_empty() {
            return f.write_str(none);
        }
        for (i, part) in parts.iter().enumerate() {
            if i > 0 {
                write!(f, " {word} ")?;
            }
            let shown = part.show(self.node);
            match part {
                Shape::All(inner) | Shape::Any(inner) if !inner.is_empty() => write!(f, "({shown})")?,
                _ => write!(f, "{shown}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shape {
            Shape::All(parts) => self.parts(parts, "AND", "true", f),
            Shape::Any(parts) => self.parts(parts, "OR", "false", f),
            Shape::Not(inner) => match **inner {
                Shape::All(_) | Shape::Any(_) => write!(f, "NOT ({})", inner.show(self.node)),
                _ => write!(f, "NOT {}", inner.show(self.node)),
            },
            Shape::Whose(set) => match self.node.expr(Role::Whose(*set)) {
                Some(condition) => f.write_str(&shown_condition(condition)),
                None => Ok(()),
            },
            Shape::Did(deed) => {
                let condition = self.node.expr(Role::Condition(self.node.operator.deeds[*deed]));
                match condition {
                    Some(condition) if *condition != lit(true) => write!(f, "DID({condition}")?,
                    _ => f.write_str("DID(any event")?,
                }
                for name in DEED_ARGUMENTS {
                    if let Some(value) = self.node.expr(deed_constant(name, *deed)) {
                        write!(f, ", {name}={}", constants::display(value))?;
                    }
                }
                f.write_str(")")
            }
        }
    }
}

/// `TAG('vip')`, or the condition on the profile: what is behind the user.
fn shown_condition(condition: &Expr) -> String {
    let Expr::ScalarFunction(call) = condition else { return constants::display(condition) };
    if TagFunction::of(call).is_some() {
        let texts: Vec<String> = call.args.iter().skip(1).map(constants::display).collect();
        return format!("TAG({})", texts.join(", "));
    }
    let of_profile = call.args.get(1).cloned().and_then(|condition| over_profiles(condition).ok());
    of_profile.map_or_else(String::new, |condition| constants::display(&condition))
}
