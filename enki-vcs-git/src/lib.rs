//! WorkspaceProvider and Refinery of Enki on git.
