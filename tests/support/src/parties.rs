//! Random deaths: peers of which one after the other is killed, each followed by another of its role.

use crate::books::Random;
use crate::{Peer, PATIENCE};
use std::time::{Duration, Instant};

/// Peers in their roles, and how many of each were killed.
pub struct Parties {
    roles: Vec<(&'static str, Vec<String>)>,
    peers: Vec<Option<Peer>>,
    kills: Vec<u64>,
}

impl Parties {
    /// Starts a peer for each role and its arguments.
    pub fn start(roles: Vec<(&'static str, Vec<String>)>) -> Self {
        let mut parties = Self {
            peers: roles.iter().map(|_| None).collect(),
            kills: vec![0; roles.len()],
            roles,
        };
        (0..parties.roles.len()).for_each(|party| parties.replace(party));
        parties
    }

    /// As [`start`](Self::start), with the arguments that most have: a directory, and the number of the party.
    pub fn numbered(roles: &[&'static str], directory: &str) -> Self {
        let numbered = roles.iter().enumerate();
        let arguments = |party: usize| vec![directory.to_owned(), party.to_string()];
        Self::start(
            numbered
                .map(|(party, role)| (*role, arguments(party)))
                .collect(),
        )
    }

    /// One of them, each as likely as the others.
    pub fn any(&self, random: &mut Random) -> usize {
        random.below(self.roles.len() as u64) as usize
    }

    /// Waits up to so many milliseconds, then kills a party. It must not have ended by itself.
    pub fn kill(&mut self, party: usize, random: &mut Random, pause: u64) {
        std::thread::sleep(random.millis(1, pause));
        let mut peer = self.peers[party].take().unwrap();
        let ended = peer.child.try_wait().unwrap();
        assert_eq!(ended, None, "{} {party} ended by itself", self.role(party));
        peer.kill();
        self.kills[party] += 1;
    }

    /// Starts the successor of a party.
    pub fn replace(&mut self, party: usize) {
        let (role, arguments) = &self.roles[party];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.peers[party] = Some(Peer::start(role, &arguments));
    }

    /// Waits until each party gets on: until what `beats` says of it has changed.
    pub fn get_on(&self, beats: impl Fn(usize) -> u64) {
        for party in 0..self.roles.len() {
            let before = beats(party);
            let started = Instant::now();
            while beats(party) == before {
                let role = self.role(party);
                assert!(started.elapsed() < PATIENCE, "{role} {party} hangs");
                std::thread::sleep(Duration::from_micros(100));
            }
        }
    }

    /// Waits until the parties of these numbers have ended by themselves.
    pub fn finish(&mut self, parties: impl IntoIterator<Item = usize>) {
        for party in parties {
            self.peers[party].take().unwrap().finish();
        }
    }

    /// As [`finish`](Self::finish), of all of them.
    pub fn finish_all(&mut self) {
        self.finish(0..self.roles.len());
    }

    /// A party, to be stopped and continued.
    pub fn peer(&self, party: usize) -> &Peer {
        self.peers[party].as_ref().unwrap()
    }

    /// How many of a party were killed.
    pub fn kills(&self, party: usize) -> u64 {
        self.kills[party]
    }

    fn role(&self, party: usize) -> &'static str {
        self.roles[party].0
    }
}
