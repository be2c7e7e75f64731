//! RECOMMEND and RECOMMEND_EVAL on the frame of operators: [`args`] reads the call, [`worker`] gathers who did what with
//! which item, [`item_facts`] what the newest event of an item says, [`state`] makes one state of it, [`lists`] and [`quality`] ask it.

pub(crate) mod args;
mod constants;
mod effort;
mod item_facts;
mod items;
mod lists;
mod live;
#[cfg(test)]
mod partials;
mod purpose;
mod quality;
mod state;
mod using;
mod worker;

pub(crate) use live::LiveStates;
pub use live::{LiveModel, LiveOptions, LiveState};

use super::node::{OperatorNode, Role};
use super::operator::{self, Answer, Chosen, Coverage, Found, Operator, Wanted};
use super::table_scan::total;
use crate::behavior::recommend::{Effort, Model, Protocol, RecommendSpec};
use crate::error::Result;
use chrono_tz::Tz;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, Value};
use item_facts::FactExprs;
use state::State;
use std::fmt;
use std::sync::Arc;
use trodden_engine::predicate::Predicate;
use using::Using;
use worker::{Reads, RecommendWorker};

/// For whom or what the lists are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Ask {
    EveryUser,
    User,
    Item,
    Items,
    EveryItem,
}

impl Ask {
    /// The argument that asks for it; none for lists of everybody or everything.
    fn argument(self) -> &'static str {
        match self {
            Self::User => "for_user",
            Self::Item => "for_item",
            Self::Items => "for_items",
            Self::EveryUser | Self::EveryItem => "",
        }
    }
}

/// What makes an item seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum SeenWords {
    /// As the algorithm has it.
    Default,
    Exclude,
    Include,
    Kinds(Vec<u8>),
}

/// What is fixed when the statement is read. The conditions are the kinds of events, then that of candidates; the first
/// column is the item.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Recommend {
    ask: Ask,
    kinds: usize,
    /// The first kinds that have a weight of their own; without any, every event is worth 1.
    weighed: usize,
    seen: SeenWords,
    candidates: bool,
    /// Whether the newest event of an item says more: `boost`, `diversify`.
    facts: bool,
    using: Using,
    /// Items that are excluded.
    exclude: usize,
}

/// RECOMMEND_EVAL: the same arguments, on the past.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Evaluate(Recommend);

/// The constant arguments.
#[derive(Debug, Clone)]
pub(crate) struct Arguments {
    /// One for each algorithm, at least one, the same but for it. Items have no codes yet, so what is about items is apart.
    specs: Vec<RecommendSpec>,
    using: Using,
    /// The name of the experiment that divides users.
    experiment: String,
    /// The user, the item, or the basket.
    targets: Vec<ScalarValue>,
    exclude: Vec<ScalarValue>,
    facts: Option<FactExprs>,
    /// Of an evaluation: when the past ends, the length of lists, and what is looked for.
    split_us: i64,
    k: usize,
    protocol: Protocol,
}

impl Arguments {
    /// Whether the neighbours of all items are found at once, from sets of users.
    fn has_set_neighbours(&self) -> bool {
        matches!(self.specs.as_slice(), [spec] if spec.using.has_set_neighbours())
    }
}

impl Recommend {
    fn describe(
        &self,
        node: &OperatorNode<impl Operator>,
        names: &[&'static str],
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        let item = node.expr(Role::Column(0)).map(ToString::to_string).unwrap_or_default();
        write!(f, "item={item}")?;
        node.describe_list("for", &node.exprs_of(|i| Role::Constant("for", i)), f)?;
        self.describe_using(node, f)?;
        let conditions = node.exprs_of(Role::Condition);
        let (kinds, candidates) = conditions.split_at(self.kinds.min(conditions.len()));
        if self.weighed > 0 {
            node.describe_list("events", kinds, f)?;
            node.describe_list("weights", &node.exprs_of(|i| Role::Constant("weight", i)), f)?;
        }
        if self.ask == Ask::EveryItem {
            write!(f, ", emit=items")?;
        }
        node.describe_constants(names, f)?;
        node.describe_list("exclude", &node.exprs_of(|i| Role::Constant("exclude", i)), f)?;
        node.describe_list("candidates", candidates, f)?;
        node.describe_constants(&["boost", "category", "max"], f)?;
        node.describe_frame(f)
    }

    /// Of how many interactions a kept state may be to answer a question; `None` where no such state does: it is of nothing
    /// that newest events were before, or that they say beside candidates.
    fn kept_most(&self, spec: &Arguments) -> Option<usize> {
        let most = match self.ask {
            Ask::User | Ask::Item | Ask::Items => usize::MAX,
            Ask::EveryItem if spec.has_set_neighbours() => live::OF_EVERYTHING_MAX,
            Ask::EveryItem | Ask::EveryUser => return None,
        };
        let is_of_newest = self.facts || self.candidates && spec.specs[0].as_of_us.is_some();
        (!is_of_newest).then_some(most)
    }

    fn describe_using(&self, node: &OperatorNode<impl Operator>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = node.exprs_of(|i| Role::Constant("using", i));
        match self.using {
            Using::Purpose if node.expr(Role::Constant("similarity", 0)).is_none() => {
                write!(f, ", using={}", purpose::rule(self.ask))
            }
            Using::Purpose => write!(f, ", using=item_knn"),
            Using::Each(_) => node.describe_list("using", &named, f),
            Using::Fallback(_) => node.describe_list("fallback", &named, f),
            Using::Variants(_) => {
                node.describe_constants(&["experiment"], f)?;
                node.describe_list("variants", &named, f)
            }
        }
    }

    /// Whether the newest event of an item matters, which may be one of any kind.
    fn reads_newest(&self) -> bool {
        self.candidates || self.facts
    }

    /// Users with an event of any kind. The newest event of an item may be anybody's, so what is about it needs all users.
    fn choose(&self, ask: &operator::Ask<'_>) -> Result<Chosen> {
        if self.reads_newest() {
            return Ok(Chosen { users: None, counted: 0, note: "all users, for the newest event of each item".into() });
        }
        let (users, _) = ask.users(Predicate::Or(ask.conditions.to_vec()))?;
        let note = format!("{} users with an event that counts, from bitmaps", total(&users));
        Ok(Chosen { users: Some(users), counted: 0, note })
    }
}

impl Operator for Recommend {
    type Spec = Arguments;
    type Worker = RecommendWorker;

    const NAME: &'static str = "RECOMMEND";
    const NODE: &'static str = "Recommend";
    const SCAN: &'static str = "RecommendScan";

    fn fields(&self, user: Field, _by: Vec<Field>, columns: Vec<Field>) -> Vec<Field> {
        let item_type = columns.first().map_or(DataType::Utf8View, |column| column.data_type().clone());
        let because = DataType::List(Arc::new(Field::new_list_field(item_type.clone(), true)));
        let mut fields = match self.ask {
            Ask::EveryUser | Ask::User => vec![user],
            Ask::Item | Ask::EveryItem => vec![Field::new("for_item", item_type.clone(), false)],
            Ask::Items => Vec::new(),
        };
        fields.extend([
            Field::new("rank", DataType::Int64, false),
            Field::new("item", item_type, false),
            Field::new("score", DataType::Float64, false),
            Field::new("because", because, true),
        ]);
        if self.using.tells_algorithm() {
            fields.push(Field::new("using", DataType::Utf8, false));
        }
        if matches!(self.using, Using::Variants(_)) {
            fields.push(Field::new("variant", DataType::Utf8, false));
        }
        fields
    }

    fn spec(&self, node: &OperatorNode<Self>, _default_zone: Tz, complete: bool) -> Result<Arguments> {
        constants::arguments(self, node, complete)
    }

    fn describe(&self, node: &OperatorNode<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Self::describe(self, node, &["similarity", "half_life", "window", "top", "as_of"], f)
    }

    fn every_event(&self, _spec: &Arguments) -> Result<bool> {
        Ok(self.reads_newest())
    }

    fn worker(&self, spec: &Arguments, _by_columns: usize, wanted: &Wanted<'_>) -> Result<RecommendWorker> {
        let until_us = spec.specs[0].as_of_us.unwrap_or(i64::MAX);
        let reads = Reads { until_us, candidates_until_us: until_us, reasons: wanted.any(&["because"]) };
        Ok(RecommendWorker::new(self.kinds, self.candidates, spec.facts.as_ref(), reads))
    }

    fn choose(&self, _spec: &Arguments, ask: &operator::Ask<'_>) -> Result<Chosen> {
        Self::choose(self, ask)
    }

    fn finish(
        &self,
        spec: &Arguments,
        answer: &Answer<'_>,
        found: Vec<Found<'_, RecommendWorker>>,
    ) -> Result<RecordBatch> {
        let reasons = found.iter().any(|(worker, _)| worker.wants_reasons());
        let state = State::new(self, spec.facts.as_ref(), answer, found)?;
        let models = |of: &RecommendSpec, effort: &Effort<'_>| {
            let model = Model::fit_within(&of.view(&state.interactions), state.items.ranks(), &of.using, effort);
            Ok(Arc::new(model?))
        };
        lists::answer((self.ask, reasons), spec, answer, &state, &models)
    }

    fn kept_answer(
        &self,
        spec: &Arguments,
        ask: &operator::Ask<'_>,
        wanted: &Wanted<'_>,
        answer: &Answer<'_>,
    ) -> Result<Option<RecordBatch>> {
        let Some(most) = self.kept_most(spec) else { return Ok(None) };
        let of = |question: &live::Question<'_>| {
            let models = |of: &RecommendSpec, effort: &Effort<'_>| question.model(of, effort);
            lists::answer((self.ask, wanted.any(&["because"])), spec, answer, question.state, &models)
        };
        ask.live.ask(ask, (self.kinds, self.candidates, most), of)
    }

    fn coverage(&self, spec: &Arguments, _ask: &operator::Ask<'_>) -> Result<Option<Coverage>> {
        let kept = |most: usize| {
            let of_few = if most == usize::MAX { "" } else { ", where it is of two million events at most" };
            Coverage::Index(format!("the state that is kept in memory and follows the table{of_few}"))
        };
        Ok(self.kept_most(spec).map(kept))
    }
}

impl Operator for Evaluate {
    type Spec = Arguments;
    type Worker = RecommendWorker;

    const NAME: &'static str = "RECOMMEND_EVAL";
    const NODE: &'static str = "RecommendEval";
    const SCAN: &'static str = "RecommendEvalScan";

    fn fields(&self, _user: Field, _by: Vec<Field>, _columns: Vec<Field>) -> Vec<Field> {
        let mut fields = vec![Field::new("using", DataType::Utf8, false), Field::new("users", DataType::Int64, false)];
        let measures = ["recall", "ndcg", "hit_rate", "mrr", "coverage"];
        fields.extend(measures.map(|name| Field::new(name, DataType::Float64, false)));
        fields
    }

    fn spec(&self, node: &OperatorNode<Self>, _default_zone: Tz, complete: bool) -> Result<Arguments> {
        constants::arguments(&self.0, node, complete)
    }

    fn describe(&self, node: &OperatorNode<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe(node, &["similarity", "half_life", "window", "split", "k", "protocol"], f)
    }

    fn every_event(&self, _spec: &Arguments) -> Result<bool> {
        Ok(self.0.reads_newest())
    }

    fn worker(&self, spec: &Arguments, _by_columns: usize, _wanted: &Wanted<'_>) -> Result<RecommendWorker> {
        let candidates_until_us = spec.split_us.saturating_sub(1);
        let reads = Reads { until_us: i64::MAX, candidates_until_us, reasons: false };
        Ok(RecommendWorker::new(self.0.kinds, self.0.candidates, spec.facts.as_ref(), reads))
    }

    fn choose(&self, _spec: &Arguments, ask: &operator::Ask<'_>) -> Result<Chosen> {
        self.0.choose(ask)
    }

    fn finish(
        &self,
        spec: &Arguments,
        answer: &Answer<'_>,
        found: Vec<Found<'_, RecommendWorker>>,
    ) -> Result<RecordBatch> {
        quality::answer(spec, answer, &State::new(&self.0, spec.facts.as_ref(), answer, found)?)
    }
}

/// A string literal.
fn text(text: &str) -> SqlExpr {
    SqlExpr::Value(Value::SingleQuotedString(text.into()).with_empty_span())
}
