//! Which algorithms answer: one, several that are compared, a chain, or another one for each part of the users.

use super::purpose;
use crate::behavior::recommend::{
    Algorithm, AlsOptions, CHAIN_MAX, EaseOptions, ItemKnnOptions, SequenceOptions, SessionKnnOptions, Similarity,
    TrendingOptions,
};
use crate::error::{Error, Result};
use crate::plan::arguments::{Call, NamedArgument, part_arguments, string_literal};
use crate::plan::constants;
use crate::plan::node::{OperatorNode, Role};
use crate::plan::operator::Operator;
use crate::plan::planner::Planner;
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, Ident, Spanned};
use datafusion::sql::sqlparser::tokenizer::Span;
use xxhash_rust::xxh3::xxh3_64;

/// Which algorithms are named, and how they share the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Using {
    /// None: the purpose picks one.
    Purpose,
    /// Each for itself: one of a list, several of an evaluation.
    Each(usize),
    /// What the first has nothing to say about is the next one's.
    Fallback(usize),
    /// Each user has one of them, by the name of the experiment and the user's id.
    Variants(usize),
}

impl Using {
    fn count(self) -> usize {
        match self {
            Self::Purpose => 0,
            Self::Each(count) | Self::Fallback(count) | Self::Variants(count) => count,
        }
    }

    /// Whether rows tell which algorithm they come from.
    pub(super) fn tells_algorithm(self) -> bool {
        matches!(self, Self::Fallback(_) | Self::Variants(_))
    }

    /// Reads `using` and `variant` out of the call.
    ///
    /// # Errors
    /// What is wrong with them, at its place.
    pub(super) fn plan(planner: &mut Planner<'_>, call: &mut Call) -> Result<Self> {
        let variant = call.take("variant");
        if let (Some(variant), Some(_)) = (&variant, call.find("using")) {
            return Err(Error::invalid("variant names the algorithms, and using names one more")
                .with_hint("leave using away: variant => AB('exp1', 'item_knn', 'sequence')")
                .at(variant.span));
        }
        if let Some(variant) = variant {
            return variants(planner, variant);
        }
        if call.find("using").is_some_and(|using| part(&using.value, "FALLBACK"))
            && let Some(using) = call.take("using")
        {
            return fallback(planner, using);
        }
        match planner.list(call, "using", |i| Role::Constant("using", i))? {
            0 => Ok(Self::Purpose),
            count => Ok(Self::Each(count)),
        }
    }
}

/// Whether the expression is a call of this name.
fn part(expr: &SqlExpr, name: &str) -> bool {
    matches!(expr, SqlExpr::Function(part) if part.name.to_string().eq_ignore_ascii_case(name))
}

fn fallback(planner: &mut Planner<'_>, argument: NamedArgument) -> Result<Using> {
    let example = "using => FALLBACK('session_knn', 'item_knn', 'popular')";
    let span = argument.span;
    let count = names(planner, values(argument, example)?, example, span)?;
    Ok(Using::Fallback(count))
}

fn variants(planner: &mut Planner<'_>, argument: NamedArgument) -> Result<Using> {
    let example = "variant => AB('exp1', 'item_knn', 'sequence')";
    let span = argument.span;
    if !part(&argument.value, "AB") {
        return Err(Error::invalid("variant takes AB(name of the experiment, algorithm, …)")
            .with_hint(example)
            .at(span));
    }
    let mut values = values(argument, example)?;
    if values.is_empty() {
        return Err(Error::invalid("AB needs the name of the experiment and its algorithms")
            .with_hint(example)
            .at(span));
    }
    let experiment = planner.expr(values.remove(0))?;
    planner.push(Role::Constant("experiment", 0), experiment, span);
    let count = names(planner, values, example, span)?;
    Ok(Using::Variants(count))
}

/// The arguments of a part, which have no names.
fn values(argument: NamedArgument, example: &str) -> Result<Vec<SqlExpr>> {
    let SqlExpr::Function(part) = argument.value else { return Ok(Vec::new()) };
    let name = part.name.to_string().to_uppercase();
    let unnamed = |(name_of, value): (Option<Ident>, SqlExpr)| match name_of {
        None => Ok(value),
        Some(other) => Err(Error::invalid(format!("{name} takes names of algorithms, not '{} => …'", other.value))
            .with_hint(example)
            .at(other.span)),
    };
    part_arguments(part)?.into_iter().map(unnamed).collect()
}

/// Keeps names of algorithms as constants; says how many there are.
fn names(planner: &mut Planner<'_>, values: Vec<SqlExpr>, example: &str, whole: Span) -> Result<usize> {
    let count = values.len();
    let mut seen: Vec<String> = Vec::new();
    for (i, value) in values.into_iter().enumerate() {
        let span = value.span();
        if let Some(name) = string_literal(&value).map(str::to_lowercase) {
            if seen.contains(&name) {
                return Err(Error::invalid(format!("'{name}' is named twice")).with_hint(example).at(span));
            }
            seen.push(name);
        }
        let expr = planner.expr(value)?;
        planner.push(Role::Constant("using", i), expr, span);
    }
    if (2..=CHAIN_MAX).contains(&count) {
        return Ok(count);
    }
    let message = format!("2 to {CHAIN_MAX} algorithms are named here, not {count}");
    Err(Error::invalid(message).with_hint(example).at(whole))
}

/// The algorithms that are named, at least one: where none is, the one for lists of everybody.
///
/// # Errors
/// `InvalidInput` at a name that is none.
pub(super) fn algorithms<O: Operator>(
    using: Using,
    node: &OperatorNode<O>,
    similarity: Option<Similarity>,
    of_baskets: bool,
    complete: bool,
) -> Result<Vec<Algorithm>> {
    let walks = if of_baskets { ItemKnnOptions::rp3beta_of_baskets() } else { ItemKnnOptions::rp3beta() };
    let item_knn = Algorithm::ItemKnn(ItemKnnOptions::of(similarity.unwrap_or(Similarity::Llr)));
    let words = [
        ("item_knn", item_knn.clone()),
        ("popular", Algorithm::Popular),
        ("trending", Algorithm::Trending(TrendingOptions::default())),
        ("sequence", Algorithm::Sequence(SequenceOptions::default())),
        ("session_knn", Algorithm::SessionKnn(SessionKnnOptions::default())),
        ("ease", Algorithm::Ease(EaseOptions::default())),
        ("rp3beta", Algorithm::ItemKnn(walks)),
        ("repurchase", Algorithm::Repurchase),
        ("als", Algorithm::Als(AlsOptions::default())),
        ("blend", purpose::blend(item_knn.clone())),
    ];
    let places: Vec<(&str, usize)> = words.iter().zip(0..).map(|((word, _), place)| (*word, place)).collect();
    let mut algorithms = Vec::with_capacity(using.count());
    for i in 0..using.count() {
        let place = node.constant(("using", i), complete, |v| constants::word(v, "using", &places))?;
        // A parameter that has no value yet stands for the first.
        algorithms.push(words[place.unwrap_or(0)].1.clone());
    }
    if algorithms.is_empty() {
        algorithms.push(item_knn);
    }
    Ok(algorithms)
}

/// Which of so many variants a user has: the same in every statement and on every machine, and for anybody who computes it.
/// XXH3 with 64 bits and seed 0 of the UTF-8 text `experiment:user`, modulo the number of variants.
pub(super) fn variant_of(experiment: &str, user: &str, variants: usize) -> usize {
    (xxh3_64(format!("{experiment}:{user}").as_bytes()) % variants.max(1) as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with another implementation of XXH3.
    #[test]
    fn a_variant_is_the_hash_of_experiment_and_user() {
        assert_eq!(xxh3_64(b"exp1:ann"), 7_653_712_734_616_963_668);
        assert_eq!(variant_of("exp1", "cid", 3), (11_653_723_254_254_340_086_u64 % 3) as usize);
        assert_eq!(variant_of("exp2", "cid", 2), 1);
        assert_eq!(variant_of("exp2", "ann", 2), 0);
    }

    #[test]
    fn variants_have_about_as_many_users_each() {
        let mut counts = [0; 3];
        (0..30_000).for_each(|user| counts[variant_of("exp", &format!("user {user}"), 3)] += 1);
        assert!(counts.iter().all(|count| (9_700..10_300).contains(count)), "{counts:?}");
    }
}
