//! Waiting until something appears at a path, without polling.
//!
//! Layer 2. A watch (inotify) lies on the nearest directory above the path that exists, and another on that directory's
//! parent. The caller sets the watch, then looks, then waits, so that nothing is missed: what appears before the
//! watch is seen by the look, and what appears later ends the wait. Never: a wait without a limit, as some changes are
//! not told (see [`Watch::wait`]).
//!
//! The parent is watched because the kernel tells of a removed directory by its own watch only once no process has it
//! open and no lookup keeps it in the cache of names. The parent tells at once that the name is gone.

use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use std::ffi::OsString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The number of no watch: the kernel had to drop events.
const LOST: i32 = -1;

/// How often the two watches are set anew because another process replaced the directory in between.
const ATTEMPTS: usize = 100;

/// What a watch tells. The same for each, as a directory has one watch, whichever path leads to it.
const TOLD: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Whether what happens at a path is told from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// Since this call. What happened before may not have been told: look again.
    Anew,
    /// Since an earlier call, before which the caller has looked.
    Already,
    /// No: the kernel refuses watches here.
    Refused,
}

/// A level that is watched, and the number of its watch.
type Watched = (usize, i32);

/// A directory of the path, and the name in it that leads on.
#[derive(Debug)]
struct Level {
    directory: PathBuf,
    /// `None` where the path goes up.
    name: Option<OsString>,
}

/// What tells that something appears at a path. Not inherited by `exec`.
#[derive(Debug)]
pub struct Watch {
    /// From the path upwards.
    levels: Vec<Level>,
    inotify: Option<OwnedFd>,
    watched: Vec<Watched>,
}

impl Watch {
    /// Prepares to watch a path. Watches nothing before [`set`](Self::set).
    pub fn new(path: &Path) -> Self {
        Self {
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok(),
            ..Self::refused(path)
        }
    }

    /// As where the kernel refuses watches.
    pub(crate) fn refused(path: &Path) -> Self {
        let level = |[below, directory]: [&Path; 2]| Level {
            directory: match directory.as_os_str().is_empty() {
                true => Path::new(".").to_owned(),
                false => directory.to_owned(),
            },
            name: below.file_name().map(Into::into),
        };
        let pairs = path.ancestors().zip(path.ancestors().skip(1));
        Self {
            levels: pairs.map(|(below, above)| level([below, above])).collect(),
            inotify: None,
            watched: Vec::new(),
        }
    }

    /// Watches the nearest directory above the path that exists now, and its parent.
    pub fn set(&mut self) -> Set {
        let Some(inotify) = &self.inotify else {
            return Set::Refused;
        };
        let mut set = self.watched.clone();
        let Some(found) = self.watch(inotify, &mut set) else {
            self.inotify = None;
            return Set::Refused;
        };
        for (_, number) in set {
            if found.iter().all(|&(_, now)| now != number) {
                // Fails if its directory is gone.
                let _ = inotify::remove_watch(inotify, number);
            }
        }
        if found == self.watched {
            return Set::Already;
        }
        self.watched = found;
        Set::Anew
    }

    /// The watches that are to stay; `None` where the kernel refuses them. Adds all that were set on the way to `set`.
    fn watch(&self, inotify: &OwnedFd, set: &mut Vec<Watched>) -> Option<Vec<Watched>> {
        let mut add = |at: usize, level: &Level| {
            let number = inotify::add_watch(inotify, &level.directory, TOLD)?;
            set.push((at, number));
            Ok((at, number))
        };
        let mut found = self.nearest(&mut add)?;
        for _ in 0..ATTEMPTS {
            // Without a name the level is the same directory, or one below it.
            let at = found.0 + 1;
            let above = self.levels.get(at).filter(|above| above.name.is_some());
            // It may be one that this user may not read.
            let Some(above) = above.and_then(|above| add(at, above).ok()) else {
                return Some(vec![found]);
            };
            // What happened before the parent was watched was not told.
            let still = self.nearest(&mut add)?;
            if still == found {
                return Some(vec![found, above]);
            }
            found = still;
        }
        Some(vec![found])
    }

    /// Watches the nearest directory above the path that exists.
    fn nearest(
        &self,
        mut add: impl FnMut(usize, &Level) -> Result<Watched, Errno>,
    ) -> Option<Watched> {
        for (at, level) in self.levels.iter().enumerate() {
            match add(at, level) {
                Ok(watched) => return Some(watched),
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(_) => return None,
            }
        }
        None
    }

    /// Waits until something happened where the watch was set, or until a limit.
    ///
    /// Not told, and so found only at the limit: what happens on another machine in a file system that several share,
    /// what is mounted, and what happens above the parent of the watched directory or behind a symbolic link in the path.
    pub fn wait(&self, limit: Duration) {
        let started = Instant::now();
        let Some(inotify) = &self.inotify else {
            std::thread::sleep(limit);
            return;
        };
        while let Some(left) = limit.checked_sub(started.elapsed()) {
            let left = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            let mut fds = [PollFd::new(inotify, PollFlags::IN)];
            match poll(&mut fds, Some(&left)) {
                Ok(0) => return,
                Ok(_) if self.drain(inotify.as_fd()) => return,
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => {
                    std::thread::sleep(limit.saturating_sub(started.elapsed()));
                    return;
                }
            }
        }
    }

    /// Takes the events that are there. Returns `true` if one of them may concern the path.
    fn drain(&self, inotify: BorrowedFd<'_>) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(inotify, &mut buffer);
        let mut concerns = false;
        loop {
            match events.next() {
                Ok(event) => {
                    concerns |= event.wd() == LOST
                        || self.watched.iter().any(|&(at, number)| {
                            let name = self.levels.get(at).and_then(|level| level.name.as_ref());
                            number == event.wd()
                                && match (event.file_name(), name) {
                                    (Some(there), Some(name)) => {
                                        there.to_bytes() == name.as_bytes()
                                    }
                                    // The directory itself is concerned.
                                    _ => true,
                                }
                        });
                }
                Err(Errno::AGAIN) => return concerns,
                Err(Errno::INTR) => {}
                Err(_) => return true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A missed event costs all of it.
    const LONG: Duration = Duration::from_secs(60);

    /// Set, look, wait. Returns the number of looks; fails where a wait was not ended by an event.
    fn find(watch: &mut Watch, path: &Path) -> usize {
        for looks in 1.. {
            let set = watch.set();
            assert_ne!(set, Set::Refused);
            if path.exists() {
                return looks;
            }
            if set == Set::Already {
                let started = Instant::now();
                watch.wait(LONG);
                assert!(started.elapsed() < LONG, "missed at look {looks}");
            }
        }
        unreachable!("there is no last number")
    }

    /// Makes something at a path, with its parents, by renaming it into place.
    fn appear(root: &Path, path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let elsewhere = root.join("new");
        fs::create_dir(&elsewhere).unwrap();
        fs::rename(elsewhere, path).unwrap();
    }

    #[test]
    fn what_appears_at_any_moment_below_any_parent_is_found() {
        let scratch = tempfile::tempdir().unwrap();
        for turn in 0..200u64 {
            let root = scratch.path().join(turn.to_string());
            fs::create_dir(&root).unwrap();
            let below = ["a", "a/b", "a/b/c", "a/b/c/d"][turn as usize % 4];
            let path = root.join(below);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_micros(turn * 7919 % 1000));
                    if turn % 3 == 0 {
                        // The parents go again in between.
                        fs::create_dir_all(path.parent().unwrap().join("x")).unwrap();
                        if below != "a" {
                            fs::remove_dir_all(root.join("a")).unwrap();
                        }
                    }
                    appear(&root, &path);
                });
                find(&mut Watch::new(&path), &path);
            });
        }
    }

    #[test]
    fn other_names_end_no_wait() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("wanted");
        let mut watch = Watch::new(&path);
        assert_eq!(watch.set(), Set::Anew);
        assert_eq!(watch.set(), Set::Already);
        let looks = std::thread::scope(|scope| {
            scope.spawn(|| {
                for other in 0..500 {
                    fs::write(scratch.path().join(format!("wanted.{other}")), b"").unwrap();
                }
                appear(scratch.path(), &path);
            });
            find(&mut watch, &path)
        });
        // The first, and the one after the wait.
        assert!(looks <= 2, "{looks} looks");
    }

    #[test]
    fn a_directory_made_again_is_watched_again() {
        let scratch = tempfile::tempdir().unwrap();
        let parent = scratch.path().join("parent");
        let path = parent.join("wanted");
        fs::create_dir(&parent).unwrap();
        let mut watch = Watch::new(&path);
        assert_eq!(watch.set(), Set::Anew);
        for _ in 0..3 {
            fs::remove_dir(&parent).unwrap();
            watch.wait(LONG);
            assert_eq!(watch.set(), Set::Anew);
            assert_eq!(watch.set(), Set::Already);
            fs::create_dir(&parent).unwrap();
            watch.wait(LONG);
            assert_eq!(watch.set(), Set::Anew);
            assert_eq!(watch.set(), Set::Already);
        }
        appear(scratch.path(), &path);
        assert_eq!(find(&mut watch, &path), 1);
    }

    fn settle(watch: &mut Watch) {
        loop {
            match watch.set() {
                Set::Already => return,
                Set::Anew => {}
                Set::Refused => panic!("the kernel refuses watches"),
            }
        }
    }

    /// Its own watch tells of the removal only when it is closed.
    #[test]
    fn a_removed_directory_that_is_open_ends_a_wait() {
        let scratch = tempfile::tempdir().unwrap();
        for below in ["a/wanted", "a/b/wanted", "a/b/c/wanted"] {
            let path = scratch.path().join(below);
            let parent = path.parent().unwrap();
            for again in [false, true] {
                fs::create_dir_all(parent).unwrap();
                let mut open = vec![fs::File::open(parent).unwrap()];
                let mut watch = Watch::new(&path);
                settle(&mut watch);
                fs::remove_dir(parent).unwrap();
                if again {
                    // The next is gone too before the waiter looks.
                    fs::create_dir(parent).unwrap();
                    open.push(fs::File::open(parent).unwrap());
                    fs::remove_dir(parent).unwrap();
                }
                let started = Instant::now();
                watch.wait(LONG);
                assert!(started.elapsed() < LONG, "{below}, {again}");
                settle(&mut watch);
                appear(scratch.path(), &path);
                watch.wait(LONG);
                assert!(started.elapsed() < LONG, "{below}, {again}: what appeared");
                fs::remove_dir(&path).unwrap();
            }
            fs::remove_dir_all(scratch.path().join("a")).unwrap();
        }
    }

    #[test]
    fn paths_from_here_and_up_are_watched_where_they_lead() {
        for (path, first) in [
            ("ring", "."),
            ("./ring", "."),
            ("rings/ring", "rings"),
            ("../ring", ".."),
            ("/ring", "/"),
        ] {
            let watch = Watch::refused(Path::new(path));
            assert_eq!(watch.levels[0].directory, Path::new(first), "{path}");
            assert_eq!(watch.levels[0].name.as_deref(), Some("ring".as_ref()));
        }
        assert_eq!(Watch::refused(Path::new("/ring")).set(), Set::Refused);
    }
}
