//! Access control: which clients are let in, by the user and group that the kernel reports, and how much
//! each may hold.
//!
//! Layer 8. Rows, connections and cursors are finite. They are divided among users, so that no user can use
//! up the share of another.

/// Who may read an isolated ring. Its producer is always of the broker's own user, or root.
///
/// The rows are divided equally: the broker's own user and root together, each further user, and each group
/// have a part of at least one row. The remainder goes to the first. One user of a group can hold half of
/// the group's part.
#[derive(Clone, Debug, Default)]
pub struct Access {
    users: Vec<u32>,
    groups: Vec<u32>,
}

/// How many clients of one user may wait beside those that hold rows.
const WAITING: usize = 16;
/// How many connections the broker's own user and root can have, and all users that are let in by their
/// group.
const WAITING_OF_MANY: usize = 64;

/// The owner of a row, connection or cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The broker's own user, or root. They share one part.
    Own,
    /// A user that was let in by number.
    Named(u32),
    /// A user that was let in by its group.
    Member(u32),
}

impl Owner {
    /// Returns `true` if the user was let in by its group.
    pub fn is_member(self) -> bool {
        matches!(self, Self::Member(_))
    }
}

/// Returns `true` if a user is the broker's own, or root.
pub fn is_own(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

impl Access {
    /// Lets in the broker's own user, and root.
    pub fn own_user() -> Self {
        Self::default()
    }

    /// Also lets this user in.
    #[must_use]
    pub fn user(mut self, uid: u32) -> Self {
        if !self.users.contains(&uid) {
            self.users.push(uid);
        }
        self
    }

    /// Also lets in every user with this primary group.
    #[must_use]
    pub fn group(mut self, gid: u32) -> Self {
        if !self.groups.contains(&gid) {
            self.groups.push(gid);
        }
        self
    }

    pub(super) fn is_private(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty()
    }

    /// The owner as which a client is let in, if it is.
    pub(super) fn owner(&self, uid: u32, gid: u32) -> Option<Owner> {
        if is_own(uid) {
            Some(Owner::Own)
        } else if self.users.contains(&uid) {
            Some(Owner::Named(uid))
        } else {
            self.groups.contains(&gid).then_some(Owner::Member(uid))
        }
    }

    /// How many of the rows one party can have.
    fn part(&self, rows: u32) -> u32 {
        (rows / (1 + self.others())).max(1)
    }

    /// How many parties there are besides the broker's own user and root.
    fn others(&self) -> u32 {
        let users = self.users.iter().filter(|uid| !is_own(**uid)).count();
        (users + self.groups.len()) as u32
    }

    /// How many of the rows of a stream an owner can have.
    pub(super) fn rows(&self, owner: Owner, rows: u32) -> u32 {
        let part = self.part(rows);
        match owner {
            Owner::Own => rows.saturating_sub(self.others() * part).max(1),
            Owner::Named(_) => part,
            Owner::Member(_) => part.div_ceil(2),
        }
    }

    /// How many rows of a stream the users that are let in by their group can hold together.
    pub(super) fn rows_of_members(&self, rows: u32) -> u32 {
        self.groups.len() as u32 * self.part(rows)
    }

    /// How many connections an owner can have.
    pub(super) fn connections(&self, owner: Owner, rows: u32) -> usize {
        let waiting = match owner {
            Owner::Own => WAITING_OF_MANY,
            Owner::Named(_) | Owner::Member(_) => WAITING,
        };
        self.rows(owner, rows) as usize + waiting
    }

    /// How many connections the users that are let in by their group can have together.
    pub(super) fn connections_of_members(&self, rows: u32) -> usize {
        self.rows_of_members(rows) as usize + WAITING_OF_MANY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_are_shared_out() {
        let mut access = Access::own_user();
        assert_eq!(access.rows(Owner::Own, 32), 32);
        for uid in [0, 7001, 7002, 7002] {
            access = access.user(uid);
        }
        let named = Owner::Named(7001);
        assert_eq!(
            (access.rows(Owner::Own, 32), access.rows(named, 32)),
            (12, 10)
        );
        // Each party gets at least one, if there are enough.
        for rows in 1..=250 {
            let (own, part) = (access.rows(Owner::Own, rows), access.rows(named, rows));
            assert!(own >= 1 && part >= 1, "{rows}");
            assert!(rows < 3 || own + 2 * part == rows, "{rows}");
        }
        let access = access.group(7).group(8);
        let member = Owner::Member(9);
        for rows in 5..=250 {
            let (own, part) = (access.rows(Owner::Own, rows), access.rows(named, rows));
            assert_eq!(access.rows_of_members(rows), 2 * part);
            assert_eq!(own + 4 * part, rows);
            let one = access.rows(member, rows);
            assert!(one >= 1 && 2 * one <= part + 1);
            assert!(access.connections(member, rows) < access.connections_of_members(rows));
        }
    }

    #[test]
    fn users_come_before_groups_and_the_own_user_before_both() {
        let access = Access::own_user().user(7001).group(7);
        assert_eq!(access.owner(0, 7), Some(Owner::Own));
        assert_eq!(access.owner(7001, 7), Some(Owner::Named(7001)));
        assert_eq!(access.owner(7003, 7), Some(Owner::Member(7003)));
        assert_eq!(access.owner(7003, 8), None);
        assert!(!access.is_private() && Access::own_user().is_private());
    }
}
