//! What survives: power cuts at every sync, failing writes, damaged and cut files, full disks, many threads, killed
//! processes, and databases of earlier versions.

mod compat;
mod concurrent;
mod creation;
mod damage;
mod definitions;
mod edges;
mod examine;
mod faults;
mod identity;
mod kill;
mod local;
mod logs;
mod model;
mod power;
mod producers;
mod profiles;
mod script;
mod slow;
mod stopped;
mod tags;
