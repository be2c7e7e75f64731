//! The constant arguments of RECOMMEND and RECOMMEND_EVAL.

use super::item_facts::FactExprs;
use super::using::{self, Using};
use super::{Arguments, Ask, Recommend, SeenWords};
use crate::behavior::recommend::{Protocol, RecommendSpec, Seen, Similarity, Weights};
use crate::error::{Error, Result};
use crate::plan::constants;
use crate::plan::node::{OperatorNode, Role};
use crate::plan::operator::Operator;
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::scalar::ScalarValue;

/// See [`crate::plan::operator::Operator::spec`].
pub(super) fn arguments<O: Operator>(
    recommend: &Recommend,
    node: &OperatorNode<O>,
    complete: bool,
) -> Result<Arguments> {
    let similarities = [
        ("llr", Similarity::Llr),
        ("cosine", Similarity::Cosine),
        ("bm25", Similarity::Bm25 { k1: 1.2, b: 0.75 }),
        ("jaccard", Similarity::Jaccard),
        ("overlap", Similarity::Overlap),
    ];
    let similarity = |v: &ScalarValue| constants::word(v, "similarity", &similarities);
    let similarity = node.constant(("similarity", 0), complete, similarity)?;
    let (split_us, k, protocol) = evaluation(node, complete)?;
    let of_baskets = recommend.ask == Ask::Items || protocol == Protocol::Basket;
    let algorithms = using::algorithms(recommend.using, node, similarity, of_baskets, complete)?;
    if complete && similarity.is_some() && !algorithms.iter().any(|using| ["item_knn", "blend"].contains(&using.name()))
    {
        return Err(Error::invalid(format!("similarity says nothing to '{}'", algorithms[0].name()))
            .with_hint("leave it away, or use 'item_knn'")
            .at(node.span(Role::Constant("similarity", 0))));
    }
    let weights = weights(recommend, node, complete)?;
    let span = |name: &'static str| node.constant((name, 0), complete, |v| constants::interval_us(v, name));
    let (half_life_us, window_us) = (span("half_life")?.flatten(), span("window")?.flatten());
    let as_of_us = node.constant(("as_of", 0), complete, |v| time_us(v, "as_of"))?;
    let top = node.constant(("top", 0), complete, |v| count(v, "top"))?.unwrap_or(10);
    let mut specs = Vec::with_capacity(algorithms.len());
    for (i, using) in algorithms.into_iter().enumerate() {
        let plain = RecommendSpec::new(using, weights.clone());
        let seen = match &recommend.seen {
            SeenWords::Default => plain.seen.clone(),
            SeenWords::Exclude => Seen::Exclude,
            SeenWords::Include => Seen::Include,
            SeenWords::Kinds(kinds) => Seen::ExcludeKinds(kinds.clone()),
        };
        let spec = RecommendSpec { half_life_us, window_us, as_of_us, top, seen, ..plain };
        spec.validate().map_err(|error| place(node, Error::from(error), i))?;
        specs.push(spec);
    }
    let values = |name: &'static str| -> Result<Vec<ScalarValue>> {
        let count = node.exprs_of(|i| Role::Constant(name, i)).len();
        let value = |i| node.constant((name, i), complete, |v| Ok(v.clone()));
        Ok((0..count).map(value).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    };
    let facts = FactExprs::of(node, complete)?;
    let text = |v: &ScalarValue| match constants::text(v) {
        Some(text) => Ok(text.to_string()),
        None => Err(Error::invalid("the name of the experiment is a text").with_hint("variant => AB('exp1', …)")),
    };
    let experiment = node.constant(("experiment", 0), complete, text)?.unwrap_or_default();
    // A similarity is one of item_knn, so it is not left to the purpose.
    let using = match recommend.using {
        Using::Purpose if similarity.is_some() => Using::Each(1),
        using => using,
    };
    let (targets, exclude) = (values("for")?, values("exclude")?);
    Ok(Arguments { specs, using, experiment, targets, exclude, facts, split_us, k, protocol })
}

/// Of an evaluation: when the past ends, the length of lists, and what is looked for.
fn evaluation<O: Operator>(node: &OperatorNode<O>, complete: bool) -> Result<(i64, usize, Protocol)> {
    let split_us = node.constant(("split", 0), complete, |v| time_us(v, "split"))?.unwrap_or(0);
    let k = node.constant(("k", 0), complete, |v| count(v, "k"))?.unwrap_or(10);
    if k == 0 {
        return Err(Error::invalid("k is 0").with_hint("give 1 or more").at(node.span(Role::Constant("k", 0))));
    }
    let protocols = [("time", Protocol::Time), ("next_basket", Protocol::NextBasket), ("basket", Protocol::Basket)];
    let protocol = |v: &ScalarValue| constants::word(v, "protocol", &protocols);
    Ok((split_us, k, node.constant(("protocol", 0), complete, protocol)?.unwrap_or_default()))
}

/// The kernel names the argument at the start of its message: put the error there.
fn place<O: Operator>(node: &OperatorNode<O>, error: Error, algorithm: usize) -> Error {
    let role = match error.message().split([' ', ':']).next().unwrap_or_default() {
        "top" => Role::Constant("top", 0),
        "half_life" => Role::Constant("half_life", 0),
        "window" => Role::Constant("window", 0),
        "a" | "no" => Role::Constant("weight", 0),
        _ => Role::Constant("using", algorithm),
    };
    let span = node.span(role);
    error.at(span)
}

/// What an event of each kind is worth: the first kinds as given, others nothing.
fn weights<O: Operator>(recommend: &Recommend, node: &OperatorNode<O>, complete: bool) -> Result<Weights> {
    if recommend.weighed == 0 {
        return Ok(Weights::new(vec![1.0]));
    }
    let mut weights = vec![0.0; recommend.kinds];
    for (i, weight) in weights.iter_mut().enumerate().take(recommend.weighed) {
        *weight = node.constant(("weight", i), complete, number)?.unwrap_or(1.0);
    }
    Ok(Weights::new(weights))
}

fn number(value: &ScalarValue) -> Result<f64> {
    match value.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(Some(number))) => Ok(number),
        _ => Err(Error::invalid(format!("a weight is a number, not {value}"))),
    }
}

pub(super) fn count(value: &ScalarValue, argument: &str) -> Result<usize> {
    constants::integer(value)
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| Error::invalid(format!("{argument} needs a whole number, not {value}")))
}

fn time_us(value: &ScalarValue, argument: &str) -> Result<i64> {
    let as_time = DataType::Timestamp(TimeUnit::Microsecond, None);
    match value.cast_to(&as_time) {
        Ok(ScalarValue::TimestampMicrosecond(Some(us), _)) if !matches!(value.data_type(), DataType::Int64) => Ok(us),
        _ => Err(Error::invalid(format!("{argument} needs a time, not {value}"))
            .with_hint(format!("for example {argument} => TIMESTAMP '2026-03-01'"))),
    }
}
