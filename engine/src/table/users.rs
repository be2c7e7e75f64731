//! The users that an import has seen: id to ordinal, in little memory.

/// A slot of the hash table without a user.
const EMPTY: u32 = u32::MAX;

/// Users of one shard.
pub(crate) struct UserMap {
    /// Ids one after the other.
    bytes: String,
    ends: Vec<usize>,
    hashes: Vec<u64>,
    ordinals: Vec<u32>,
    slots: Vec<u32>,
    /// Users from here on are not in the catalog.
    first_new: u32,
}

impl UserMap {
    /// An empty map. Ordinals from `first_new` on are given by this import.
    pub(crate) fn new(first_new: u32) -> Self {
        Self {
            bytes: String::new(),
            ends: Vec::new(),
            hashes: Vec::new(),
            ordinals: Vec::new(),
            slots: vec![EMPTY; 1024],
            first_new,
        }
    }

    fn id(&self, entry: usize) -> &str {
        let start = if entry == 0 { 0 } else { self.ends[entry - 1] };
        &self.bytes[start..self.ends[entry]]
    }

    /// The ordinal of `id`, whose hash is `hash`.
    pub(crate) fn get(&self, id: &str, hash: u64) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut slot = start(hash, mask);
        loop {
            let entry = self.slots[slot];
            if entry == EMPTY {
                return None;
            }
            if self.hashes[entry as usize] == hash && self.id(entry as usize) == id {
                return Some(self.ordinals[entry as usize]);
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Add a user that is not in the map.
    pub(crate) fn insert(&mut self, id: &str, hash: u64, ordinal: u32) {
        let entry = self.hashes.len();
        self.bytes.push_str(id);
        self.ends.push(self.bytes.len());
        self.hashes.push(hash);
        self.ordinals.push(ordinal);
        if 2 * self.hashes.len() > self.slots.len() {
            self.slots = vec![EMPTY; 2 * self.slots.len()];
            (0..=entry).for_each(|entry| self.place(entry));
        } else {
            self.place(entry);
        }
    }

    fn place(&mut self, entry: usize) {
        let mask = self.slots.len() - 1;
        let mut slot = start(self.hashes[entry], mask);
        while self.slots[slot] != EMPTY {
            slot = (slot + 1) & mask;
        }
        self.slots[slot] = entry as u32;
    }

    /// Ids of the users with ordinals from `first` on, in order.
    pub(crate) fn ids_from(&self, first: u32) -> impl Iterator<Item = &str> {
        let entries = 0..self.ordinals.len();
        entries.filter(move |&entry| self.ordinals[entry] >= first).map(|entry| self.id(entry))
    }

    /// Empty the map, and give the users that the catalog does not have.
    pub(crate) fn take_new(&mut self) -> Vec<(String, u32)> {
        let entries = (0..self.ordinals.len()).filter(|&entry| self.ordinals[entry] >= self.first_new);
        let new: Vec<_> = entries.map(|entry| (self.id(entry).to_string(), self.ordinals[entry])).collect();
        let first_new = new.iter().map(|(_, ordinal)| ordinal + 1).max().unwrap_or(self.first_new);
        *self = Self::new(first_new);
        new
    }

    /// Memory in use, about, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.len() + 20 * self.hashes.len() + 4 * self.slots.len()
    }
}

/// Where a search begins. The low bits have chosen the shard, so the high ones are used.
fn start(hash: u64, mask: usize) -> usize {
    (hash >> 20) as usize & mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    #[test]
    fn users_are_found_and_new_ones_are_given_once() {
        let mut users = UserMap::new(100);
        let hash = |id: &str| xxh3_64(id.as_bytes());
        users.insert("old", hash("old"), 7);
        for n in 0..5000_u32 {
            let id = format!("user {n}");
            assert_eq!(users.get(&id, hash(&id)), None);
            users.insert(&id, hash(&id), 100 + n);
        }
        assert_eq!(users.get("user 4321", hash("user 4321")), Some(4421));
        assert_eq!(users.get("old", hash("old")), Some(7));
        assert_eq!(users.ids_from(5098).collect::<Vec<_>>(), ["user 4998", "user 4999"]);
        let new = users.take_new();
        assert_eq!((new.len(), new[0].clone()), (5000, ("user 0".to_string(), 100)));
        assert_eq!(users.get("old", hash("old")), None);
        users.insert("user 1", hash("user 1"), 101);
        assert!(users.take_new().is_empty(), "the catalog has it");
    }
}
