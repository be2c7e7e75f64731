//! What is counted, as codes: a path, an edge or a transition of a group. The first code is that of the group.

use super::kernel::{NO_CODE, Transition, Way};
use super::spec::PathSpec;

/// The target of an edge after which the session was over.
pub const LEAVING: u32 = NO_CODE;

/// A step of a path: group, number of the step, source and target.
pub type EdgeKey = [u32; 4];

/// Makes `key` that of the path of `way` in `group`: the group and the stops.
pub fn path_key(group: u32, way: &Way<'_>, key: &mut Vec<u32>) {
    key.clear();
    key.push(group);
    key.extend_from_slice(way.stops);
}

/// The group, the source and the target.
pub fn transition_key(group: u32, transition: &Transition) -> [u32; 3] {
    [group, transition.source, transition.target]
}

/// The edges of `way`, and the time that each took, which leaving has not.
///
/// Steps are numbered from 1; where ways lead to an end from wherever they come, back from it: -1 leads to the end. A
/// number is stored as the bits of an `i32`: those of one question, which all have one sign, keep their order.
pub fn edges_of_way(spec: &PathSpec, group: u32, way: &Way<'_>, mut found: impl FnMut(EdgeKey, Option<i64>)) {
    let steps = way.stops.len() as i32 - 1;
    let first = if spec.is_backward() { -steps } else { 1 };
    let key = |edge: usize, target: u32| [group, (first + edge as i32) as u32, way.stops[edge], target];
    for (edge, (&target, times)) in way.stops[1..].iter().zip(way.times.windows(2)).enumerate() {
        found(key(edge, target), Some(times[1].saturating_sub(times[0])));
    }
    if way.exited {
        found(key(way.stops.len() - 1, LEAVING), None);
    }
}

/// What a key counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Paths, see [`path_key`].
    Paths,
    /// Edges, see [`edges_of_way`].
    Edges,
    /// Transitions, see [`transition_key`].
    Transitions,
}

impl Counted {
    /// Where in a key the nodes begin: behind the group, and the step of an edge.
    pub fn first_node(self) -> usize {
        match self {
            Self::Paths | Self::Transitions => 1,
            Self::Edges => 2,
        }
    }
}
