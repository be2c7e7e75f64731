//! Indexes inside a segment: bitmaps of users per event name, per event name and calendar day, and per value.
