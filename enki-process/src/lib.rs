//! Child processes under control, and any command as an agent of Enki.
