//! The store, from outside: on real files of SQLite, and on a real PostgreSQL server. What holds for one holds for both.

mod home;
mod support;

/// The whole suite, on one of the two.
macro_rules! suite {
    ($name:ident, $kind:ident, $($own:ident),+) => {
        #[path = "."]
        #[expect(clippy::duplicate_mod, reason = "each test runs on both databases")]
        mod $name {
            mod support {
                pub use crate::support::*;
                pub type Home = crate::home::Home<crate::home::$kind>;
            }
            mod connecting;
            mod journal;
            mod memory;
            mod model;
            mod opening;
            mod owed;
            mod placing;
            mod records;
            mod refresh;
            mod sealing;
            mod telling;
            $(mod $own;)+
        }
    };
}

suite!(sqlite, File, file);
suite!(postgresql, Server, server, nodes, apart);
