//! A boolean expression over sets of users: by bitmaps, or by bounds of them where not all is known.

use roaring::RoaringBitmap;
use std::sync::Arc;
use trodden_engine::scan::Bounds;

/// A boolean expression over sets of users. `NOT` is the complement in the known users.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Users of a set that [`Facts`] know.
    Atom(usize),
    /// Users of all of them; with none, all known users.
    All(Vec<Rule>),
    /// Users of any of them; with none, nobody.
    Any(Vec<Rule>),
    /// Known users who are not in it.
    Not(Box<Rule>),
}

/// What there is to know of the users of one shard.
pub trait Facts {
    /// Why something cannot be told.
    type Error;

    /// All known users.
    ///
    /// # Errors
    /// Where they cannot be told.
    fn known(&mut self) -> Result<Bounds, Self::Error>;

    /// The users of a set. What is said of users outside of `among` does not matter.
    ///
    /// # Errors
    /// Where they cannot be told.
    fn atom(&mut self, atom: usize, among: Option<&RoaringBitmap>) -> Result<Bounds, Self::Error>;

    /// Whether the set is at hand, and nothing is saved by asking about fewer users.
    fn is_at_hand(&self, atom: usize) -> bool;
}

impl Rule {
    /// The users of one shard for whom it is true. What is said of users outside of `among` does not matter.
    ///
    /// # Errors
    /// Those of `facts`.
    pub fn users<F: Facts>(&self, facts: &mut F, among: Option<&RoaringBitmap>) -> Result<Bounds, F::Error> {
        match self {
            Self::Atom(atom) => facts.atom(*atom, among),
            Self::All(parts) => all(parts, facts, among),
            Self::Any(parts) => {
                let mut sum: Option<Bounds> = None;
                for part in parts {
                    let users = part.users(facts, among)?;
                    sum = Some(sum.map_or(users.clone(), |sum| sum.or(&users)));
                }
                Ok(sum.unwrap_or_default())
            }
            Self::Not(inner) => Ok(facts.known()?.and_not(&inner.users(facts, among)?)),
        }
    }

    /// The sets that it is made of.
    pub fn atoms(&self, each: &mut impl FnMut(usize)) {
        match self {
            Self::Atom(atom) => each(*atom),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.atoms(each)),
            Self::Not(inner) => inner.atoms(each),
        }
    }

    fn is_at_hand<F: Facts>(&self, facts: &F) -> bool {
        matches!(self, Self::Atom(atom) if facts.is_at_hand(*atom))
    }
}

/// Sets at hand first, the smallest of them at the very first; the others only of those who are left; then who is not.
fn all<F: Facts>(parts: &[Rule], facts: &mut F, among: Option<&RoaringBitmap>) -> Result<Bounds, F::Error> {
    let (without, with): (Vec<&Rule>, Vec<&Rule>) = parts.iter().partition(|part| matches!(part, Rule::Not(_)));
    let (at_hand, others): (Vec<&Rule>, Vec<&Rule>) = with.into_iter().partition(|part| part.is_at_hand(facts));
    let mut sets = at_hand.iter().map(|part| part.users(facts, None)).collect::<Result<Vec<_>, _>>()?;
    sets.sort_by_key(|set| set.possible.len());
    let mut left: Option<Bounds> = None;
    for set in sets {
        left = Some(left.map_or(set.clone(), |left| left.and(&set)));
    }
    for part in others {
        let of = left.as_ref().map(|left| Arc::clone(&left.possible));
        let set = part.users(facts, of.as_deref().or(among))?;
        left = Some(left.map_or(set.clone(), |left| left.and(&set)));
    }
    let mut left = match left {
        Some(left) => left,
        None => facts.known()?,
    };
    for part in without {
        if left.possible.is_empty() {
            break;
        }
        if let Rule::Not(inner) = part {
            let possible = Arc::clone(&left.possible);
            left = left.and_not(&inner.users(facts, Some(&possible))?);
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::convert::Infallible;

    /// Users are 0 to 15. Each set is known from below and from above.
    #[derive(Debug, Clone)]
    struct Sets {
        known: Bounds,
        atoms: Vec<(Bounds, bool)>,
    }

    impl Facts for Sets {
        type Error = Infallible;

        fn known(&mut self) -> Result<Bounds, Infallible> {
            Ok(self.known.clone())
        }

        fn atom(&mut self, atom: usize, among: Option<&RoaringBitmap>) -> Result<Bounds, Infallible> {
            let (bounds, lies) = &self.atoms[atom];
            // Outside of those who are asked about anything may be said.
            Ok(match among.filter(|_| *lies) {
                Some(among) => Bounds::between(
                    Arc::new(&*bounds.sure & among),
                    Arc::new((&*bounds.possible & among) | (RoaringBitmap::from_iter(0..16) - among)),
                ),
                None => bounds.clone(),
            })
        }

        fn is_at_hand(&self, atom: usize) -> bool {
            atom.is_multiple_of(2)
        }
    }

    fn rule() -> impl Strategy<Value = Rule> {
        let leaf = (0..4_usize).prop_map(Rule::Atom);
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Rule::All),
                vec(inner.clone(), 0..4).prop_map(Rule::Any),
                inner.prop_map(|inner| Rule::Not(Box::new(inner))),
            ]
        })
    }

    fn is_true(rule: &Rule, user: u32, sets: &[BTreeSet<u32>]) -> bool {
        match rule {
            Rule::Atom(atom) => sets[*atom].contains(&user),
            Rule::All(parts) => parts.iter().all(|part| is_true(part, user, sets)),
            Rule::Any(parts) => parts.iter().any(|part| is_true(part, user, sets)),
            Rule::Not(inner) => !is_true(inner, user, sets),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn bounds_hold_and_known_sets_are_answered_exactly(
            rule in rule(),
            sets in vec(btree_set(0..16_u32, 0..16), 4),
            doubts in vec((btree_set(0..16_u32, 0..4), any::<bool>()), 4),
            known in btree_set(0..16_u32, 0..16),
        ) {
            let known: BTreeSet<u32> = known.into_iter().chain(sets.iter().flatten().copied()).collect();
            let bitmap = |users: &BTreeSet<u32>| Arc::new(users.iter().copied().collect::<RoaringBitmap>());
            let atoms = sets.iter().zip(&doubts).map(|(set, (doubt, lies))| {
                let bounds = Bounds::between(bitmap(&(set - doubt)), bitmap(&((set | doubt).intersection(&known).copied().collect())));
                (bounds, *lies)
            });
            let mut facts = Sets { known: Bounds::exactly(bitmap(&known)), atoms: atoms.collect() };
            let found = rule.users(&mut facts, None).unwrap();
            let exact = facts.atoms.iter().all(|(bounds, _)| bounds.is_exact());
            for &user in &known {
                let truth = is_true(&rule, user, &sets);
                prop_assert!(!found.sure.contains(user) || truth, "{user} is not in it");
                prop_assert!(!truth || found.possible.contains(user), "{user} is in it");
                prop_assert!(!exact || found.sure.contains(user) == truth, "{user} is known");
            }
            prop_assert!(found.possible.iter().all(|user| known.contains(&user)));
        }
    }
}
