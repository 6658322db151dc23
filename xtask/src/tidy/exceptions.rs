//! Where a house rule does not hold, and why. An exception that nothing needs any more is itself a breach, so the list
//! only shrinks by itself and grows by a reviewed line.

/// The rules that machines check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Every file opens with `//!`.
    Head,
    /// Files have at most so many lines of code.
    FileLength,
    /// Functions have at most so many lines of code.
    FunctionLength,
    /// Crate roots forbid unsafe code.
    Unsafe,
    /// aya and libc are for the host crate.
    SystemCrate,
    /// Tests wait for conditions, never for time.
    Sleep,
    /// No file that no `mod` names.
    Orphan,
    /// Unfinished work is an issue, not a comment.
    Unfinished,
}

/// One exception.
pub(super) struct Exception {
    /// The rule.
    pub(super) rule: Rule,
    /// File, `file:function`, or `crate:dependency`.
    pub(super) place: &'static str,
    /// Why.
    pub(super) reason: &'static str,
}

/// All of them.
pub(super) const EXCEPTIONS: &[Exception] = &[
    except(Rule::Unsafe, "crates/host/src/lib.rs", "the edge to the kernel: mapped memory and raw system calls"),
    except(Rule::Unsafe, "crates/testkit/src/lib.rs", "sendmmsg and packet sockets at full rate"),
    except(Rule::Unsafe, "datapath-bpf/src/main.rs", "a kernel program: context, maps and helpers are raw pointers"),
    except(Rule::Unsafe, "datapath-bpf/src/workbench.rs", "a kernel program, as above"),
    except(Rule::Unsafe, "datapath-bpf/src/sockets.rs", "kernel programs, as above"),
    except(Rule::Unsafe, "datapath-bpf/src/guard.rs", "a kernel program, as above"),
    except(Rule::SystemCrate, "hivewall-testkit:libc", "sockets and namespaces that the standard library lacks"),
    except(Rule::SystemCrate, "hivewall-e2e:libc", "signals and limits of the processes under test"),
    except(Rule::SystemCrate, "xtask:aya", "the benchmark fills a map of workbench.o, which the product never loads"),
    except(Rule::FunctionLength, "crates/api/tests/support/data.rs:snapshot", "a value written out, a line a field"),
    except(
        Rule::FileLength,
        "crates/policy/src/parse/tests.rs",
        "a picture of each mistake that can be made in a document",
    ),
    except(
        Rule::FunctionLength,
        "crates/policy/src/check/tests.rs:a_rule_within_an_earlier_one_is_refused",
        "pictures of messages, many lines each",
    ),
    except(
        Rule::FunctionLength,
        "crates/policy/src/parse/tests.rs:yaml_that_cannot_be_read_says_how_to_mend_it",
        "pictures of messages, many lines each",
    ),
    except(
        Rule::FunctionLength,
        "crates/policy/src/parse/tests.rs:other_values_have_to_fit_as_well",
        "pictures of messages, many lines each",
    ),
    except(Rule::FunctionLength, "crates/view/src/text/tests.rs:server", "a value written out, a line a field"),
    except(Rule::FunctionLength, "crates/view/tests/prop_filter.rs:term", "a list of all terms of the language"),
];

const fn except(rule: Rule, place: &'static str, reason: &'static str) -> Exception {
    Exception { rule, place, reason }
}
