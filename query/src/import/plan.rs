//! Which column plays which part, and what types the others get.

use super::error::{ImportError, Result};
use super::files::InputFile;
use super::infer::Guess;
use super::options::{ColumnOptions, ImportOptions, matches_any};
use super::summary::ColumnReport;
use super::survey::Survey;
use super::time::{StampKind, TimeParser};
use std::collections::HashMap;
use trodden_engine::types::{ColumnType, FIXED_COLUMNS, Schema};

const USER_ALIASES: &[&str] = &[
    "user",
    "userid",
    "uid",
    "distinct_id",
    "customer_id",
    "customerid",
    "visitor_id",
    "visitorid",
    "client_id",
    "person_id",
];
const TIME_ALIASES: &[&str] = &[
    "timestamp",
    "time",
    "event_time",
    "eventtime",
    "event_timestamp",
    "datetime",
    "date_time",
    "occurred_at",
    "created_at",
    "date",
];
const EVENT_ALIASES: &[&str] = &["event_name", "eventname", "event_type", "eventtype", "action", "activity"];
const ID_ALIASES: &[&str] = &["eventid", "message_id", "messageid", "insert_id", "$insert_id", "event_uuid"];

/// Where the event name comes from.
#[derive(Debug, Clone)]
pub(super) enum EventSource {
    Column(usize),
    Constant(String),
}

/// A property of the import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlannedColumn {
    /// In the table.
    pub(super) name: String,
    pub(super) column_type: ColumnType,
    /// The type was told, so a value that does not fit rejects its row instead of widening the column.
    pub(super) told: bool,
}

/// The parts that the columns of one file play, by their place in the file.
#[derive(Debug, Clone)]
pub(super) struct FilePlan {
    pub(super) user: usize,
    pub(super) time: usize,
    pub(super) time_parser: TimeParser,
    pub(super) event: EventSource,
    pub(super) id: Option<usize>,
    /// For each property of the plan the column of the file, if the file has it.
    pub(super) properties: Vec<Option<usize>>,
    /// Columns of the file in which no row looked at has a value, so that they have no type and are not in the plan.
    pub(super) unseen: Vec<usize>,
    /// All columns of the file.
    pub(super) names: Vec<String>,
    pub(super) delimiter: u8,
}

/// What an import does with the columns of all its files.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    pub(super) columns: Vec<PlannedColumn>,
    /// A plan a file; `None` for a file without rows.
    pub(super) files: Vec<Option<FilePlan>>,
    pub(super) reports: Vec<ColumnReport>,
    pub(super) mappings: Vec<Vec<String>>,
    pub(super) notes: Vec<String>,
    pub(super) has_id: bool,
}

impl Plan {
    /// Whether rows that contradict the one contradict the other.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let alike = |pair: (&Option<FilePlan>, &Option<FilePlan>)| match pair {
            (Some(a), Some(b)) => a.names == b.names && a.properties == b.properties && a.unseen == b.unseen,
            (a, b) => a.is_none() && b.is_none(),
        };
        self.columns == other.columns && self.files.iter().zip(&other.files).all(alike)
    }
}

/// The parts of one file, before types are known.
pub(super) struct Mapping {
    pub(super) user: usize,
    pub(super) time: usize,
    pub(super) event: EventSource,
    pub(super) id: Option<usize>,
    pub(super) report: Vec<String>,
}

impl Mapping {
    pub(super) fn of(file: &InputFile, survey: &Survey, options: &ImportOptions) -> Result<Self> {
        let finder = Finder { file, survey };
        let mut report = Vec::new();
        let user = finder.required("user", options.user.as_deref(), "user_id", USER_ALIASES, &mut report)?;
        let time = finder.required("time", options.time.as_deref(), "ts", TIME_ALIASES, &mut report)?;
        let event = match &options.event_value {
            Some(value) if options.event.is_none() => {
                report.push(format!("event = the constant '{value}'"));
                EventSource::Constant(value.clone())
            }
            _ => EventSource::Column(finder.required(
                "event",
                options.event.as_deref(),
                "event",
                EVENT_ALIASES,
                &mut report,
            )?),
        };
        let id = finder.find("event id", options.id.as_deref(), "event_id", ID_ALIASES, &mut report)?;
        let event_column = match event {
            EventSource::Column(column) => Some(column),
            EventSource::Constant(_) => None,
        };
        let parts = [Some(user), Some(time), event_column, id];
        for (index, part) in parts.iter().enumerate() {
            if part.is_some() && parts[..index].contains(part) {
                let cause = format!("column '{}' would play two parts", survey.names[part.unwrap_or(0)]);
                return Err(finder.error(cause, "name the columns for user, time, event and id".into()));
            }
        }
        Ok(Self { user, time, event, id, report })
    }

    fn plays(&self, column: usize) -> bool {
        let event = matches!(self.event, EventSource::Column(event) if event == column);
        column == self.user || column == self.time || event || self.id == Some(column)
    }

    fn check_readable(&self, path: &str, survey: &Survey) -> Result<()> {
        let mut plays = (0..survey.names.len()).filter(|&column| self.plays(column));
        plays.try_for_each(|column| survey.check_readable(path, column))
    }
}

struct Finder<'a> {
    file: &'a InputFile,
    survey: &'a Survey,
}

impl Finder<'_> {
    fn error(&self, cause: String, hint: String) -> ImportError {
        let columns = self.survey.names.clone();
        ImportError::Mapping { file: self.file.path.clone(), cause, columns, hint }
    }

    fn required(
        &self,
        part: &str,
        told: Option<&str>,
        usual: &str,
        aliases: &[&str],
        report: &mut Vec<String>,
    ) -> Result<usize> {
        if let Some(column) = self.find(part, told, usual, aliases, report)? {
            return Ok(column);
        }
        let near = nearest(usual, self.survey.names.iter().map(String::as_str));
        let suggestion = near.map_or(String::new(), |name| format!("; is it '{name}'?"));
        let constant = if part == "event" { ", or give all events one name (event value)" } else { "" };
        Err(self.error(
            format!("no column for the {part}: neither '{usual}' nor a well-known name is there"),
            format!("name the column that holds the {part}{constant}{suggestion}"),
        ))
    }

    fn find(
        &self,
        part: &str,
        told: Option<&str>,
        usual: &str,
        aliases: &[&str],
        report: &mut Vec<String>,
    ) -> Result<Option<usize>> {
        if let Some(name) = told {
            let column = self.survey.position(name).ok_or_else(|| {
                let near = nearest(name, self.survey.names.iter().map(String::as_str));
                let hint = near
                    .map_or(format!("name the column that holds the {part}"), |near| format!("did you mean '{near}'?"));
                self.error(format!("there is no column '{name}' for the {part}"), hint)
            })?;
            report.push(format!("{part} = '{name}' (told)"));
            return Ok(Some(column));
        }
        if let Some(column) = self.survey.position(usual) {
            report.push(format!("{part} = '{usual}'"));
            return Ok(Some(column));
        }
        let is_alias = |name: &String| {
            let name = name.to_lowercase().replace([' ', '-'], "_");
            name == usual || aliases.contains(&name.as_str())
        };
        let found: Vec<usize> =
            (0..self.survey.names.len()).filter(|&index| is_alias(&self.survey.names[index])).collect();
        match found[..] {
            [] => Ok(None),
            [column] => {
                report.push(format!("{part} = '{}' (by its name)", self.survey.names[column]));
                Ok(Some(column))
            }
            _ => {
                let names: Vec<String> = found.iter().map(|&i| format!("'{}'", self.survey.names[i])).collect();
                let cause = format!("several columns could be the {part}: {}", names.join(", "));
                Err(self.error(cause, format!("say which column holds the {part}")))
            }
        }
    }
}

/// The name that is nearest to `wanted`, if one is near.
pub(super) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let wanted = wanted.to_lowercase();
    let score = |name: &str| strsim::jaro_winkler(&wanted, &name.to_lowercase());
    let best = names.max_by(|a, b| score(a).total_cmp(&score(b)))?;
    (score(best) > 0.75).then(|| best.to_string())
}

/// The table as the plan has to know it.
#[derive(Debug, Clone, Default)]
pub(super) struct TableShape {
    pub(super) schema: Schema,
    pub(super) strict: bool,
}

/// Decide parts and types from what was seen. A file with `None` has no rows.
pub(super) fn make_plan(
    files: &[&InputFile],
    surveys: &[Option<Survey>],
    table: &TableShape,
    options: &ImportOptions,
) -> Result<Plan> {
    check_names(surveys, &options.columns)?;
    let told_stamps =
        StampKind::told(&options.time_format).map_err(|(cause, hint)| ImportError::Option { cause, hint })?;
    let mut plan = Plan::default();
    let mut properties = Properties { options: &options.columns, columns: Vec::new(), index: HashMap::new() };
    for (file, survey) in files.iter().zip(surveys) {
        let Some(survey) = survey else {
            plan.files.push(None);
            plan.mappings.push(Vec::new());
            continue;
        };
        let mut mapping = Mapping::of(file, survey, options)?;
        mapping.check_readable(&file.path, survey)?;
        plan.notes.extend(survey.notes.iter().cloned());
        let column = &survey.names[mapping.time];
        let declared = survey.declared_stamps.get(&mapping.time);
        let kind =
            match declared.or(told_stamps.as_ref()) {
                Some(kind) => kind.clone(),
                None => survey.guesses[mapping.time].stamp_kind().map_err(|(cause, hint)| {
                    ImportError::UnclearTime { file: file.path.clone(), column: column.clone(), cause, hint }
                })?,
            };
        mapping.report.push(format!("times are {}", kind.describe()));
        let places = properties.add_file(file, survey, &mapping, table, &mut plan.notes)?;
        plan.has_id |= mapping.id.is_some();
        plan.mappings.push(mapping.report);
        plan.files.push(Some(FilePlan {
            user: mapping.user,
            time: mapping.time,
            time_parser: TimeParser { kind, zone: options.time_zone },
            event: mapping.event,
            id: mapping.id,
            properties: places,
            unseen: Vec::new(),
            names: survey.names.clone(),
            delimiter: survey.delimiter,
        }));
    }
    properties.finish(table, plan)
}

/// Every name in the options is in some file.
fn check_names(surveys: &[Option<Survey>], columns: &ColumnOptions) -> Result<()> {
    let known = || surveys.iter().flatten().flat_map(|survey| survey.names.iter().map(String::as_str));
    let renamed = columns.rename.iter().map(|(from, _)| ("rename", from));
    // Both names where the command line and SQL call an option differently.
    let typed = columns.types.iter().map(|(name, _)| ("--type (in SQL: TYPES)", name));
    let included = columns.include.iter().map(|name| ("--columns (in SQL: INCLUDE)", name));
    let excluded = columns.exclude.iter().map(|name| ("exclude", name));
    for (option, name) in included.chain(excluded).chain(renamed).chain(typed) {
        if !name.ends_with('*') && !known().any(|column| column == name) && surveys.iter().any(Option::is_some) {
            let mut columns: Vec<String> = known().map(String::from).collect();
            columns.dedup();
            let nearest = nearest(name, known());
            return Err(ImportError::UnknownColumn { column: name.clone(), option, columns, nearest });
        }
    }
    Ok(())
}

/// The properties of all files, by their name in the table.
struct Properties<'a> {
    options: &'a ColumnOptions,
    columns: Vec<(String, Guess, Option<ColumnType>)>,
    index: HashMap<String, usize>,
}

impl Properties<'_> {
    /// Add the properties of a file. Returns for each property so far the column of this file.
    fn add_file(
        &mut self,
        file: &InputFile,
        survey: &Survey,
        mapping: &Mapping,
        table: &TableShape,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Option<usize>>> {
        let mut places = vec![None; self.columns.len()];
        for (column, source) in survey.names.iter().enumerate() {
            let included = self.options.include.is_empty() || matches_any(&self.options.include, source);
            if mapping.plays(column) || !included || matches_any(&self.options.exclude, source) {
                continue;
            }
            survey.check_readable(&file.path, column)?;
            let name = self.table_name(source, table, notes);
            let told = self.options.types.iter().find(|(name, _)| name == source).map(|(_, told)| *told);
            let place = *self.index.entry(name.to_lowercase()).or_insert_with(|| {
                self.columns.push((name.clone(), Guess::default(), None));
                self.columns.len() - 1
            });
            places.resize(self.columns.len(), None);
            if places[place].replace(column).is_some() {
                return Err(ImportError::DuplicateColumn { file: file.path.clone(), column: name });
            }
            self.columns[place].1.merge(&survey.guesses[column]);
            self.columns[place].2 = self.columns[place].2.or(told);
        }
        Ok(places)
    }

    /// The name in the table. Names that differ only by case are one to most of SQL, so the spelling that was there
    /// first is taken; a column that has the name of a fixed column and does not play its part gets another.
    fn table_name(&self, source: &str, table: &TableShape, notes: &mut Vec<String>) -> String {
        let renamed = self.options.rename.iter().find(|(from, _)| from == source).map(|(_, to)| to.as_str());
        let name = renamed.unwrap_or(source);
        let lower = name.to_lowercase();
        let in_table = || table.schema.columns.iter().find(|column| column.name.to_lowercase() == lower);
        let mut note = |text: String| {
            if !notes.contains(&text) {
                notes.push(text);
            }
        };
        if name.is_empty() {
            note("the column without a name became 'unnamed'".into());
            return "unnamed".into();
        }
        if let Some(fixed) = FIXED_COLUMNS.iter().find(|fixed| fixed.eq_ignore_ascii_case(name)) {
            note(format!("column '{source}' became 'file_{fixed}': every table has a column '{fixed}' of its own"));
            return format!("file_{fixed}");
        }
        let known = self.index.get(&lower).map(|&place| self.columns[place].0.clone());
        let spelling = known.or_else(|| Some(in_table()?.name.clone())).unwrap_or_else(|| name.into());
        if spelling != name {
            note(format!("column '{source}' became '{spelling}', from which it differs only by case"));
        }
        spelling
    }

    fn finish(self, table: &TableShape, mut plan: Plan) -> Result<Plan> {
        for file in plan.files.iter_mut().flatten() {
            file.properties.resize(self.columns.len(), None);
        }
        let mut kept = Vec::new();
        let mut unknown = Vec::new();
        for (name, mut guess, told) in self.columns {
            let in_table = table.schema.column(&name).map(|column| column.column_type);
            let mut chosen_from = if told.is_some() { "told".into() } else { guess.describe() };
            let locked = if table.strict { in_table } else { None };
            if table.strict && in_table.is_none() {
                unknown.push(name.clone());
            }
            if let (Some(in_table), None) = (in_table, told.or(locked))
                && guess.column_type().is_some_and(|found| found != in_table)
            {
                guess.declare(in_table);
                chosen_from = format!("{chosen_from}, {} in the table", in_table.sql_name());
            }
            let column_type = locked.or(told).or_else(|| guess.column_type());
            kept.push(column_type.is_some());
            if let Some(column_type) = column_type {
                let told = told.or(locked).is_some();
                plan.columns.push(PlannedColumn { name: name.clone(), column_type, told });
            }
            plan.reports.push(ColumnReport { name, column_type, chosen_from });
        }
        if !unknown.is_empty() {
            return Err(ImportError::StrictTable { columns: unknown });
        }
        for file in plan.files.iter_mut().flatten() {
            let dropped = file.properties.iter().zip(&kept).filter(|(_, kept)| !**kept);
            file.unseen = dropped.filter_map(|(source, _)| *source).collect();
            let mut keep = kept.iter();
            file.properties.retain(|_| *keep.next().unwrap_or(&false));
        }
        Ok(plan)
    }
}

/// What decides, beside the bytes of a file, which events it becomes: part of the fingerprint.
pub(super) fn outcome_options(file: &InputFile, plan: &FilePlan, options: &ImportOptions) -> String {
    let name = |column: usize| plan.names.get(column).map_or("", String::as_str);
    let event = match &plan.event {
        EventSource::Column(column) => format!("column {:?}", name(*column)),
        EventSource::Constant(value) => format!("constant {value:?}"),
    };
    let ColumnOptions { include, exclude, rename, types } = &options.columns;
    format!(
        "1 {} user {:?} time {:?} event {event} id {:?} as {:?} zone {} include {include:?} exclude {exclude:?} \
         rename {rename:?} types {types:?} delimiter {} header {} nulls {:?}",
        file.format.name(),
        name(plan.user),
        name(plan.time),
        plan.id.map(name),
        plan.time_parser.kind.describe(),
        options.time_zone,
        plan.delimiter,
        options.header,
        options.null_values,
    )
}
