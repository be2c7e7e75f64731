//! What was seen of the columns of one file.

use super::error::{ImportError, Result};
use super::infer::Guess;
use super::time::StampKind;
use std::collections::{HashMap, HashSet};

/// Most columns of one import.
pub(super) const MAX_COLUMNS: usize = 4096;

/// What was seen of the columns of one file.
#[derive(Debug, Clone, Default)]
pub(super) struct Survey {
    pub(super) names: Vec<String>,
    index: HashMap<String, usize>,
    pub(super) guesses: Vec<Guess>,
    /// Where the column was first seen, which orders the columns that several threads found.
    first_seen: Vec<(u64, usize)>,
    pub(super) rows: u64,
    /// Between the fields of CSV and TSV.
    pub(super) delimiter: u8,
    /// What kind of times the time column holds where its type says it (Parquet).
    pub(super) declared_stamps: HashMap<usize, StampKind>,
    /// Columns that cannot be read (Parquet): an error only if they are wanted.
    pub(super) unreadable: HashMap<usize, Unreadable>,
    /// What the summary should say of the names.
    pub(super) notes: Vec<String>,
}

/// Why a column cannot be read.
#[derive(Debug, Clone)]
pub(super) enum Unreadable {
    /// Its type, which has no counterpart.
    Type(String),
    /// Its compression, which nothing here unpacks.
    Codec(String),
}

impl Survey {
    /// Of a file whose columns are known from its header. A name that was there before gets a number: the columns of a
    /// file of someone else cannot be called otherwise.
    pub(super) fn with_names(path: &str, names: Vec<String>) -> Result<Self> {
        let mut survey = Self::default();
        let given: HashSet<String> = names.iter().cloned().collect();
        for name in names {
            let mut own = name.clone();
            let mut number = 2;
            while survey.index.contains_key(&own) || (number > 2 && given.contains(&own)) {
                own = format!("{name}_{number}");
                number += 1;
            }
            if own != name {
                survey.notes.push(format!("{path}: another column '{name}' became '{own}'"));
            }
            survey.column(&own, (0, 0));
        }
        survey.check_width(path)?;
        Ok(survey)
    }

    /// The place of column `name`, given now if it is new.
    pub(super) fn column(&mut self, name: &str, seen: (u64, usize)) -> usize {
        if let Some(&index) = self.index.get(name) {
            return index;
        }
        self.names.push(name.into());
        self.guesses.push(Guess::default());
        self.first_seen.push(seen);
        self.index.insert(name.into(), self.names.len() - 1);
        self.names.len() - 1
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    pub(super) fn check_width(&self, path: &str) -> Result<()> {
        match self.names.len() {
            0..=MAX_COLUMNS => Ok(()),
            _ => Err(ImportError::TooManyColumns { file: path.into(), limit: MAX_COLUMNS }),
        }
    }

    /// Refuse a column that is wanted and cannot be read.
    pub(super) fn check_readable(&self, path: &str, column: usize) -> Result<()> {
        let (file, name) = (path.to_string(), self.names[column].clone());
        match self.unreadable.get(&column).cloned() {
            None => Ok(()),
            Some(Unreadable::Type(found)) => Err(ImportError::UnsupportedType { file, column: name, found }),
            Some(Unreadable::Codec(codec)) => Err(ImportError::UnsupportedCodec { file, column: name, codec }),
        }
    }

    /// Take in what another thread saw of the same file.
    pub(super) fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        for (index, name) in other.names.iter().enumerate() {
            let place = self.column(name, other.first_seen[index]);
            self.first_seen[place] = self.first_seen[place].min(other.first_seen[index]);
            self.guesses[place].merge(&other.guesses[index]);
        }
    }

    /// The same columns with nothing seen of their values.
    pub(super) fn blank(&self) -> Self {
        let guesses = vec![Guess::default(); self.names.len()];
        Self { guesses, rows: 0, declared_stamps: HashMap::new(), ..self.clone() }
    }

    /// Put the columns into the order in which the file has them, whichever thread found them.
    pub(super) fn sort(&mut self) {
        let mut order: Vec<usize> = (0..self.names.len()).collect();
        order.sort_by_key(|&index| (self.first_seen[index], index));
        self.names = order.iter().map(|&index| self.names[index].clone()).collect();
        self.guesses = order.iter().map(|&index| self.guesses[index].clone()).collect();
        self.first_seen = order.iter().map(|&index| self.first_seen[index]).collect();
        self.index = self.names.iter().cloned().enumerate().map(|(index, name)| (name, index)).collect();
    }
}
