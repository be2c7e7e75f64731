//! Seeded random changes to texts and bytes.

/// A small random generator (splitmix64): the same seed gives the same run on every machine.
pub(crate) struct Random(u64);

impl Random {
    /// From `FUZZ_SEED`, or from a fixed number. The seed is printed, so that a failure can be run again.
    pub(crate) fn from_environment(salt: u64) -> Self {
        let seed = std::env::var("FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(2026);
        println!("FUZZ_SEED={seed}");
        Self(seed ^ salt)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `bound` - 1.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).expect("below a usize")
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// How many cases to run: `FUZZ_CASES`, or `default`.
pub(crate) fn cases(default: usize) -> usize {
    std::env::var("FUZZ_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The numbers of the cases to run: as [`cases`] says, or for `FUZZ_S` seconds where that is set.
pub(crate) fn rounds(default: usize) -> impl Iterator<Item = usize> {
    let seconds = std::env::var("FUZZ_S").ok().and_then(|text| text.parse().ok()).map(std::time::Duration::from_secs);
    let (began, cases) = (std::time::Instant::now(), cases(default));
    (0_usize..).take_while(move |case| match seconds {
        Some(seconds) => began.elapsed() < seconds,
        None => *case < cases,
    })
}

/// One to six changes of words: dropped, doubled, swapped, or replaced by one of `words`.
pub(crate) fn mutate_words(text: &str, words: &[&str], random: &mut Random) -> String {
    let mut tokens = tokens(text);
    for _ in 0..=random.below(6) {
        let (a, b) = (random.below(tokens.len()), random.below(tokens.len()));
        match random.below(6) {
            0 if tokens.len() > 1 => drop(tokens.remove(a)),
            1 => tokens.insert(a, tokens[b].clone()),
            2 => tokens.swap(a, b),
            3 => tokens.truncate(a + 1),
            _ => tokens[a] = (*random.pick(words)).into(),
        }
    }
    tokens.join(" ")
}

/// Words, numbers, quoted texts, and single signs.
fn tokens(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut quoted = false;
    let mut joined = false;
    for sign in text.chars() {
        let in_word = quoted || sign.is_alphanumeric() || sign == '_' || sign == '.';
        if sign == '\'' {
            if quoted {
                found.last_mut().expect("a quote was opened").push(sign);
            } else {
                found.push(sign.into());
            }
            quoted = !quoted;
            joined = quoted;
        } else if in_word && joined {
            found.last_mut().expect("a word was begun").push(sign);
        } else if !sign.is_whitespace() {
            // `=>` and `->` stay whole.
            match found.last_mut() {
                Some(last) if sign == '>' && (last == "=" || last == "-") => last.push(sign),
                _ => found.push(sign.into()),
            }
            joined = in_word;
        } else {
            joined = false;
        }
    }
    found
}

/// One to eight changes of bytes: flipped, replaced, removed, doubled, cut off.
pub(crate) fn mutate_bytes(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    for _ in 0..=random.below(8) {
        if changed.is_empty() {
            break;
        }
        let at = random.below(changed.len());
        match random.below(8) {
            0 => drop(changed.remove(at)),
            1 => changed.truncate(at),
            2 => changed.insert(at, u8::try_from(random.below(256)).expect("a byte")),
            3 => changed[at] = *random.pick(b"\0\n\r\",;{}[]:-0\xff\xc3"),
            4 => {
                let end = (at + random.below(64)).min(changed.len());
                let piece = changed[at..end].to_vec();
                changed.splice(at..at, piece);
            }
            _ => changed[at] ^= 1 << random.below(8),
        }
    }
    changed
}
