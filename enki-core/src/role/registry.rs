//! The roles that a plan may name: the built-in ones, overlaid by name.

use super::built_in::BUILT_IN;
use super::{Role, RoleProblem};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

/// The roles there are. Cheap to clone.
///
/// A later role of the same name replaces an earlier one as a whole; fields are not mixed, so that what a file says is
/// what its role does.
#[derive(Clone, Debug)]
pub struct Roles(Arc<Vec<Known>>);

#[derive(Clone, Debug)]
struct Known {
    role: Role,
    origin: RoleOrigin,
}

/// Where a role comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RoleOrigin {
    /// Built in.
    BuiltIn,
    /// A file.
    File(PathBuf),
    /// A program that embeds this library.
    Program,
}

impl fmt::Display for RoleOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Program => f.write_str("program"),
        }
    }
}

impl Default for Roles {
    fn default() -> Self {
        Self::built_in()
    }
}

impl Roles {
    /// The built-in roles.
    #[must_use]
    pub fn built_in() -> Self {
        static ROLES: LazyLock<Roles> = LazyLock::new(|| {
            let known = |role| Known { role, origin: RoleOrigin::BuiltIn };
            Roles(Arc::new(BUILT_IN.iter().map(|role| known(role.to_role())).collect()))
        });
        ROLES.clone()
    }

    /// The same with that role, instead of the one of that name if there is one.
    ///
    /// # Errors
    ///
    /// What is wrong with the role.
    pub fn with(mut self, role: Role, origin: RoleOrigin) -> Result<Self, RoleProblem> {
        role.check()?;
        let all = Arc::make_mut(&mut self.0);
        let known = Known { role, origin };
        match all.iter_mut().find(|old| old.role.name == known.role.name) {
            Some(old) => *old = known,
            None => all.push(known),
        }
        Ok(self)
    }

    /// The role of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Role> {
        self.iter().map(|(role, _)| role).find(|role| role.name == name)
    }

    /// All roles with where they come from: the built-in ones in their order, then others in the order they came in.
    pub fn iter(&self) -> impl Iterator<Item = (&Role, &RoleOrigin)> {
        self.0.iter().map(|known| (&known.role, &known.origin))
    }

    /// All names, in the same order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(role, _)| role.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::RoleOutput;

    #[test]
    fn every_built_in_role_is_one_a_file_could_give() {
        for (role, origin) in Roles::built_in().iter() {
            assert_eq!((role.check(), origin), (Ok(()), &RoleOrigin::BuiltIn), "{}", role.name);
            let json = serde_json::to_string(role).unwrap();
            assert_eq!(serde_json::from_str::<Role>(&json).unwrap(), *role);
        }
    }

    #[test]
    fn a_role_replaces_the_one_of_its_name_as_a_whole_and_in_its_place() {
        let (built_in, path) = (Roles::built_in(), RoleOrigin::File("/r/reviewer.toml".into()));
        let own = Role::new("reviewer", "mine", "Look twice.");
        let roles = built_in.clone().with(own.clone(), path.clone()).unwrap();
        assert_eq!(roles.get("reviewer"), Some(&own));
        assert!(roles.names().eq(built_in.names()));
        assert_eq!(roles.iter().find(|(role, _)| role.name == "reviewer").unwrap().1, &path);
        assert_eq!(built_in.get("reviewer").unwrap().output, RoleOutput::Artifact, "a copy is its own");
        let more = roles.with(Role::new("scribe", "writes", "Write."), path).unwrap();
        assert_eq!(more.names().last(), Some("scribe"));
    }
}
