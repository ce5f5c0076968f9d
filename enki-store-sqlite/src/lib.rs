//! TaskStore of Enki on SQLite.
