//! `trodden sql`: statements from the command line, from files, from standard input, or from a person.

use crate::backend::BackendOptions;
use crate::cli::SqlArgs;
use crate::failure::{Failure, Outcome};
use crate::interrupt::{Interrupt, Second};
use crate::output::Format;
use crate::session::{Flow, Session, Settings};
use crate::shell;
use crate::terminal::Terminal;
use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

pub(super) fn run(arguments: &SqlArgs, terminal: &Terminal) -> Outcome {
    if arguments.format == Format::Parquet && arguments.output.is_none() && terminal.stdout {
        return Err(Failure::usage(
            "Parquet is not for terminals",
            "write it to a file with --output FILE, or to a pipe",
        ));
    }
    let from_input = arguments.commands.is_empty() && arguments.files.is_empty();
    let interactive = from_input && io::stdin().is_terminal() && terminal.stdout && arguments.output.is_none();
    // Read before the database is opened: a file that is not there should not wait for that.
    let scripts = if interactive { Vec::new() } else { scripts(arguments, from_input)? };
    let mut settings =
        if interactive { Settings::interactive(arguments.format) } else { Settings::script(arguments.format) };
    settings.repeat = arguments.repeat;
    settings.timing = arguments.timing;
    let options = BackendOptions {
        threads: arguments.threads.map(|threads| threads as usize),
        memory_limit_bytes: arguments.memory_limit,
        recommend_memory_bytes: arguments.recommend_memory,
        create: arguments.create,
    };
    let backend = arguments.place.backend(&options)?;
    let interrupt = Interrupt::watch(if interactive { Second::Waits } else { Second::Ends })?;
    let mut session = Session::new(backend, interrupt, settings, *terminal, arguments.output.as_deref())?;
    if interactive {
        shell::run(&mut session)?;
    } else {
        run_scripts(&mut session, &scripts)?;
    }
    session.finish()
}

fn run_scripts(session: &mut Session, scripts: &[String]) -> Outcome {
    for script in scripts {
        if session.run_script(script)? == Flow::Quit {
            break;
        }
    }
    Ok(())
}

fn scripts(arguments: &SqlArgs, from_input: bool) -> Outcome<Vec<String>> {
    let mut scripts = arguments.commands.clone();
    for file in &arguments.files {
        scripts.push(if file == Path::new("-") {
            standard_input()?
        } else {
            fs::read_to_string(file).map_err(|error| Failure::io(file.display(), &error))?
        });
    }
    if from_input {
        scripts.push(standard_input()?);
    }
    Ok(scripts)
}

fn standard_input() -> Outcome<String> {
    let mut script = String::new();
    io::stdin().read_to_string(&mut script).map_err(|error| Failure::io("standard input", &error))?;
    Ok(script)
}
