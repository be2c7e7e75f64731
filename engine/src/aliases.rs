//! Which ids of users mean the same person: the rules of aliases, without any events.
//!
//! An alias says that what came under one id, the source, is the history of another id, the target. A target may be the
//! source of a further alias; the id at the end of such a chain is the person. There are no cycles, so there is an end.

use crate::error::{Error, ErrorKind, Result};
use crate::ingest::MAX_NAME_BYTES;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

/// An id of a user, and where its own events are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The shard of the id.
    pub shard: u16,
    /// Its ordinal there.
    pub ordinal: u32,
    /// The id.
    pub id: String,
}

/// One alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The id that is another name.
    pub source: Member,
    /// The id that it stands for.
    pub target: Member,
    /// Whether a compaction moved the events of the source to the target: then there is no way back.
    pub joined: bool,
}

/// The aliases of a table, in the order in which they were made. Cloning shares the aliases themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aliases {
    list: Vec<Arc<Alias>>,
    /// Places in `list`, in the order of the source's id.
    by_source: Vec<u32>,
    /// Places in `list`, in the order of the source's shard and ordinal.
    by_place: Vec<u32>,
    /// Places in `list`, in the order of the target's id, then of the place.
    by_target: Vec<u32>,
    /// Raised with every change of where new events go.
    routes: u64,
}

impl Aliases {
    /// Those of a manifest, in its order.
    pub(crate) fn of_list(list: &[Alias]) -> Self {
        let mut aliases = Self { list: list.iter().cloned().map(Arc::new).collect(), ..Self::default() };
        aliases.index();
        aliases
    }

    /// As a manifest keeps them.
    pub(crate) fn to_list(&self) -> Vec<Alias> {
        self.list.iter().map(|alias| alias.as_ref().clone()).collect()
    }

    /// All of them, in the order in which they were made.
    pub fn iter(&self) -> impl Iterator<Item = &Alias> {
        self.list.iter().map(Arc::as_ref)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Number of aliases.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Those whose events are still where they came, in the order in which they were made.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &Alias> {
        self.iter().filter(|alias| !alias.joined)
    }

    /// The alias whose source is `id`.
    pub fn get(&self, id: &str) -> Option<&Alias> {
        let found = self.by_source.binary_search_by(|&at| self.at(at).source.id.as_str().cmp(id));
        found.ok().map(|place| self.at(self.by_source[place]))
    }

    /// The pending alias whose source has this ordinal.
    pub(crate) fn of_place(&self, shard: u16, ordinal: u32) -> Option<&Alias> {
        let key = |at: u32| (self.at(at).source.shard, self.at(at).source.ordinal);
        let found = self.by_place.binary_search_by(|&at| key(at).cmp(&(shard, ordinal)));
        found.ok().map(|place| self.at(self.by_place[place])).filter(|alias| !alias.joined)
    }

    /// The person that `id` means: the end of its chain, or itself.
    pub fn resolve<'a>(&'a self, mut id: &'a str) -> &'a str {
        while let Some(alias) = self.get(id) {
            id = &alias.target.id;
        }
        id
    }

    /// The id under which events of `id` are stored: past the aliases that a compaction has joined.
    pub(crate) fn route<'a>(&'a self, mut id: &'a str) -> &'a str {
        while let Some(alias) = self.get(id).filter(|alias| alias.joined) {
            id = &alias.target.id;
        }
        id
    }

    /// Changes whenever [`Self::route`] may.
    pub(crate) fn routes(&self) -> u64 {
        self.routes
    }

    /// Whether events of any id are stored under another one.
    pub(crate) fn has_routes(&self) -> bool {
        self.iter().any(|alias| alias.joined)
    }

    /// The person at the end of the chain of `alias`.
    pub(crate) fn end<'a>(&'a self, alias: &'a Alias) -> &'a Member {
        let mut alias = alias;
        while let Some(next) = self.get(&alias.target.id) {
            alias = next;
        }
        &alias.target
    }

    /// The aliases whose chain ends at `id`, in the order in which they were made. None if `id` is an alias itself.
    pub(crate) fn of_person(&self, id: &str) -> Vec<&Alias> {
        if self.get(id).is_some() {
            return Vec::new();
        }
        let (mut found, mut next) = (Vec::new(), vec![id]);
        while let Some(id) = next.pop() {
            for &at in self.of_target(id) {
                found.push(at);
                next.push(&self.at(at).source.id);
            }
        }
        found.sort_unstable();
        found.into_iter().map(|at| self.at(at)).collect()
    }

    /// Which id an alias of `source` to `target` would really name; `None` where it is there already.
    ///
    /// # Errors
    /// `InvalidInput` for an alias to itself, a cycle and an id that no event can have; `AlreadyExists` where the source
    /// is an alias of another id.
    pub(crate) fn plan<'a>(&'a self, source: &str, target: &'a str) -> Result<Option<&'a str>> {
        check_id(source)?;
        check_id(target)?;
        if source == target {
            return Err(Error::invalid(format!("'{source}' would be an alias of itself"))
                .with_hint("name the id of the person it belongs to"));
        }
        // What was joined is that of its target, under whatever id one asks for it.
        let (asked, target) = (target, self.route(target));
        if let Some(alias) = self.get(source) {
            return match self.route(&alias.target.id) == target {
                true => Ok(None),
                false => Err(conflict(alias)),
            };
        }
        if self.resolve(target) == source {
            let chain = self.chain(asked).join("' → '");
            return Err(Error::invalid(format!("'{asked}' is an alias of '{source}' already: '{chain}'"))
                .with_hint("aliases make no circles: the person is the id at the end"));
        }
        Ok(Some(target))
    }

    /// The alias of `source`, if it can be taken back.
    ///
    /// # Errors
    /// `NotFound`; `Unsupported` once a compaction has joined the histories.
    pub(crate) fn revocable(&self, source: &str) -> Result<&Alias> {
        let alias = self.get(source).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("'{source}' is no alias"))
                .with_hint("SHOW ALIASES lists those that are there")
        })?;
        if alias.joined {
            let target = self.route(source);
            let message = format!("the history of '{source}' was joined to that of '{target}' by a compaction");
            return Err(Error::invalid(message).with_hint(
                "which events were whose is not known any more, so an alias can be taken back before that only",
            ));
        }
        Ok(alias)
    }

    /// Add an alias that [`Self::plan`] allows.
    pub(crate) fn insert(&mut self, alias: Alias) {
        let at = self.list.len() as u32;
        self.list.push(Arc::new(alias));
        for index in [SOURCE, PLACE, TARGET] {
            let place = self.index_of(index).partition_point(|&other| self.order(index, other, at) == Ordering::Less);
            self.index_mut(index).insert(place, at);
        }
    }

    /// Take the alias of `source` away.
    pub(crate) fn remove(&mut self, source: &str) {
        self.retain(|alias| alias.source.id != source);
    }

    /// Take away the aliases whose chain ends at `person`.
    pub(crate) fn forget_person(&mut self, person: &str) {
        let gone: HashSet<String> = self.of_person(person).iter().map(|alias| alias.source.id.clone()).collect();
        self.retain(|alias| !gone.contains(&alias.source.id));
    }

    /// Note that a compaction moved the events of all sources to where their chains end.
    pub(crate) fn all_joined(&mut self) {
        self.list.iter_mut().filter(|alias| !alias.joined).for_each(|alias| Arc::make_mut(alias).joined = true);
        self.routes += 1;
    }

    fn retain(&mut self, keep: impl Fn(&Alias) -> bool) {
        let changes_routes = self.iter().any(|alias| alias.joined && !keep(alias));
        self.routes += u64::from(changes_routes);
        self.list.retain(|alias| keep(alias));
        self.index();
    }

    fn at(&self, at: u32) -> &Alias {
        &self.list[at as usize]
    }

    fn chain<'a>(&'a self, id: &'a str) -> Vec<&'a str> {
        let mut chain = vec![id];
        while let Some(alias) = chain.last().and_then(|last| self.get(last)) {
            chain.push(&alias.target.id);
        }
        chain
    }

    fn of_target(&self, id: &str) -> &[u32] {
        let target = |at: u32| self.at(at).target.id.as_str();
        let start = self.by_target.partition_point(|&at| target(at) < id);
        let end = self.by_target.partition_point(|&at| target(at) <= id);
        &self.by_target[start..end]
    }

    fn index(&mut self) {
        for index in [SOURCE, PLACE, TARGET] {
            let mut places: Vec<u32> = (0..self.list.len() as u32).collect();
            places.sort_unstable_by(|&a, &b| self.order(index, a, b));
            *self.index_mut(index) = places;
        }
    }

    fn order(&self, index: usize, a: u32, b: u32) -> Ordering {
        let (one, other) = (self.at(a), self.at(b));
        match index {
            SOURCE => one.source.id.cmp(&other.source.id),
            // A source that comes again after it was taken back has the ordinal that it had.
            PLACE => (one.source.shard, one.source.ordinal).cmp(&(other.source.shard, other.source.ordinal)),
            _ => (&one.target.id, a).cmp(&(&other.target.id, b)),
        }
    }

    fn index_of(&self, index: usize) -> &Vec<u32> {
        match index {
            SOURCE => &self.by_source,
            PLACE => &self.by_place,
            _ => &self.by_target,
        }
    }

    fn index_mut(&mut self, index: usize) -> &mut Vec<u32> {
        match index {
            SOURCE => &mut self.by_source,
            PLACE => &mut self.by_place,
            _ => &mut self.by_target,
        }
    }
}

const SOURCE: usize = 0;
const PLACE: usize = 1;
const TARGET: usize = 2;

fn check_id(id: &str) -> Result<()> {
    match id.len() {
        0 => Err(Error::invalid("the id of a user is empty").with_hint("no event can have it")),
        1..=MAX_NAME_BYTES => Ok(()),
        bytes => Err(Error::invalid(format!("an id of {bytes} bytes; {MAX_NAME_BYTES} are the most"))),
    }
}

fn conflict(alias: &Alias) -> Error {
    let (source, target) = (&alias.source.id, &alias.target.id);
    let error = Error::new(ErrorKind::AlreadyExists, format!("'{source}' is an alias of '{target}' already"));
    match alias.joined {
        true => error.with_hint(format!(
            "their histories are one by now; make '{target}' the alias, if both are of another person"
        )),
        false => error.with_hint(format!("take that back first: UNALIAS '{source}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str) -> Member {
        Member { shard: 0, ordinal: id.bytes().fold(0, |sum, byte| sum * 7 + u32::from(byte)), id: id.into() }
    }

    fn aliases(pairs: &[(&str, &str)]) -> Aliases {
        let mut aliases = Aliases::default();
        for (source, target) in pairs {
            let planned = aliases.plan(source, target).unwrap().unwrap().to_string();
            aliases.insert(Alias { source: member(source), target: member(&planned), joined: false });
        }
        aliases
    }

    #[test]
    fn a_chain_ends_at_its_person_and_keeps_its_order() {
        let aliases = aliases(&[("b", "c"), ("a", "b"), ("x", "c"), ("c", "d")]);
        assert_eq!((aliases.resolve("a"), aliases.resolve("d"), aliases.resolve("new")), ("d", "d", "new"));
        assert_eq!(aliases.end(aliases.get("a").unwrap()).id, "d");
        let sources = |id| aliases.of_person(id).iter().map(|alias| alias.source.id.as_str()).collect::<Vec<_>>();
        assert_eq!(sources("d"), ["b", "a", "x", "c"]);
        assert!(sources("c").is_empty(), "an alias is no person");
        assert_eq!(aliases.of_place(0, member("x").ordinal).unwrap().source.id, "x");
        assert_eq!(Aliases::of_list(&aliases.to_list()), aliases);
    }

    #[test]
    fn circles_conflicts_and_strange_ids_are_refused() {
        let mut aliases = aliases(&[("a", "b"), ("b", "c")]);
        let kind = |aliases: &Aliases, source: &str, target: &str| {
            let error = aliases.plan(source, target).unwrap_err();
            assert!(error.hint().is_some() || source.is_empty(), "{error}");
            error.kind()
        };
        assert_eq!(kind(&aliases, "a", "a"), ErrorKind::InvalidInput);
        assert_eq!(kind(&aliases, "c", "a"), ErrorKind::InvalidInput);
        assert_eq!(kind(&aliases, "c", "b"), ErrorKind::InvalidInput);
        assert_eq!(kind(&aliases, "a", "d"), ErrorKind::AlreadyExists);
        assert_eq!(kind(&aliases, "", "d"), ErrorKind::InvalidInput);
        assert_eq!(aliases.plan("a", "b").unwrap(), None);
        assert!(aliases.plan("c", "b").unwrap_err().message().contains("'b' → 'c'"));
        assert_eq!(aliases.revocable("c").unwrap_err().kind(), ErrorKind::NotFound);
        aliases.remove("b");
        assert_eq!(aliases.plan("c", "a").unwrap(), Some("a"));
    }

    #[test]
    fn what_was_joined_is_that_of_its_target() {
        let mut aliases = aliases(&[("a", "b"), ("b", "c")]);
        let routes = aliases.routes();
        aliases.all_joined();
        assert_ne!(aliases.routes(), routes);
        assert_eq!((aliases.route("a"), aliases.plan("x", "a").unwrap()), ("c", Some("c")));
        assert_eq!(aliases.plan("a", "c").unwrap(), None);
        assert_eq!(aliases.plan("c", "a").unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(aliases.plan("a", "x").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(aliases.revocable("a").unwrap_err().kind(), ErrorKind::InvalidInput);
        aliases.forget_person("c");
        assert!(aliases.is_empty());
    }
}
