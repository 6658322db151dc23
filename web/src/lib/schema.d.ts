// Written by `npm run types` from docs/reference/openapi.json; not by hand.

export type paths = Record<string, never>;
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description To say that one has seen an alert (`POST /api/v1/alerts/acknowledge`). */
        AcknowledgeRequest: {
            /** @description Who says so; the caller's address when absent. */
            by?: string | null;
            /** @description Id of the alert, or how it begins. */
            id: string;
            /** @description What there is to say. */
            note?: string;
        };
        /** @description That somebody has seen it. */
        Acknowledgement: {
            /** @description When, RFC 3339. */
            at: string;
            /** @description Who. */
            by: string;
            /** @description What they say of it. */
            note?: string;
        };
        /** @description Traffic of one address or prefix. */
        AddressTraffic: {
            /**
             * Format: int64
             * @description IP bytes received by it.
             */
            received_bytes: number;
            /**
             * Format: int64
             * @description Packets received by it.
             */
            received_packets: number;
            /**
             * Format: int64
             * @description IP bytes sent by it.
             */
            sent_bytes: number;
            /**
             * Format: int64
             * @description Packets sent by it.
             */
            sent_packets: number;
        };
        /** @description What the agent costs and has, for its own screen. */
        AgentCost: {
            /**
             * Format: double
             * @description Share of one CPU the agent used over the last second.
             */
            cpu_share: number;
            /**
             * Format: double
             * @description Nanoseconds the kernel's programs took per packet, where the kernel counts that
             *     (`sysctl kernel.bpf_stats_enabled`, or while an agent holds the statistics on).
             */
            kernel_ns_per_packet?: number | null;
            /**
             * Format: int64
             * @description Payload copies taken for names, since the start.
             */
            peeks: number;
            /**
             * Format: int64
             * @description Socket events since the start.
             */
            socket_events: number;
        };
        /** @description One alert: everything that one detector saw of one subject without a long pause. */
        Alert: {
            acknowledged?: components["schemas"]["Acknowledgement"] | null;
            /** @description Which detector: `port_scan`. The list is in docs/detection.md. */
            detector: string;
            /** @description On what it rests. */
            evidence: components["schemas"]["Evidence"];
            /** @description First sign, RFC 3339. */
            first_seen: string;
            /** @description The host that raised it. */
            host: string;
            /** @description Hosts of the fleet that saw it, where more than one did, at most 64. */
            hosts?: string[];
            /** @description Its name for commands: 12 hexadecimal digits, unique on its host. */
            id: string;
            /** @description Interface that saw it. */
            interface?: string | null;
            /** @description What kind of thing it is: `scan`, `flood`, `brute_force`, `tunnel`. */
            kind: string;
            /** @description Latest sign, RFC 3339. */
            last_seen: string;
            /** @description One sentence for people: who did what to whom, how much. */
            message: string;
            /**
             * Format: int32
             * @description The port that was called, where it is one.
             */
            port?: number | null;
            /** @description Process of this host: `sshd (812)`. */
            process?: string | null;
            /** @description `tcp`, `udp`, `icmp`, `arp`, … */
            protocol?: string | null;
            response?: components["schemas"]["Response"] | null;
            /** @description How bad. */
            severity: components["schemas"]["Severity"];
            /**
             * Format: int64
             * @description How often the detector said so, this being one alert all the same.
             */
            signs: number;
            /** @description Nobody is told of it before, RFC 3339. */
            silenced_until?: string | null;
            /** @description Who did it: an address; for ARP a MAC. Absent where nobody can be named (spoofed sources). */
            source?: string | null;
            /**
             * Format: int64
             * @description How many sources, where there is more than one.
             */
            sources?: number | null;
            /** @description Whether the source may be a lie. What rests on it must never cut anybody off. */
            spoofable: boolean;
            /** @description Whether it goes on. */
            state: components["schemas"]["AlertState"];
            /** @description What else makes it this alert and no other: a domain, a process, a MAC. */
            subject?: string | null;
            /**
             * Format: int64
             * @description How many, in all.
             */
            target_count: number;
            /** @description To whom: addresses, at most 16. */
            targets?: string[];
            technique?: components["schemas"]["Technique"] | null;
            /** @description The detector's title: `Port scan`. */
            title: string;
        };
        /** @description What a command about alerts did. */
        AlertOutcome: {
            alert?: components["schemas"]["Alert"] | null;
            /** @description In words. */
            message: string;
            mute?: components["schemas"]["Mute"] | null;
            /** @description How channels did. */
            tests?: components["schemas"]["ChannelTest"][];
        };
        /** @description Alerts, the latest first. */
        AlertPage: {
            /** @description Those asked for. */
            alerts: components["schemas"]["Alert"][];
            /**
             * Format: int64
             * @description How many there are beyond the limit, these included.
             */
            matched: number;
            /** @description When, RFC 3339. */
            time: string;
        };
        /**
         * @description Whether it goes on.
         * @enum {string}
         */
        AlertState: "active" | "ended";
        /** @description Alerts in the snapshot. */
        AlertSummary: {
            /** @description Detector → severity → alerts that go on. */
            active: {
                [key: string]: {
                    [key: string]: number;
                };
            };
            /** @description Captures of the packets that alerts rest on. */
            captures?: components["schemas"]["CaptureSummary"];
            /** @description Ways to tell people. */
            channels: components["schemas"]["ChannelRow"][];
            /**
             * Format: int64
             * @description Failed logins that the host's logs told of since the agent began.
             */
            failed_logins?: number;
            /** @description Those that go on, the worst first, then the latest of the others; at most 100. */
            latest: components["schemas"]["Alert"][];
            /** @description Whether detectors work on this host. */
            on: boolean;
            /** @description Detector → severity → alerts raised since the agent began. */
            raised: {
                [key: string]: {
                    [key: string]: number;
                };
            };
            /** @description Detector → action → outcome → responses since the agent began. */
            responses: {
                [key: string]: {
                    [key: string]: {
                        [key: string]: number;
                    };
                };
            };
            /** @description Detector → signs since the agent began. */
            signs: {
                [key: string]: number;
            };
        };
        /**
         * @description From what a question was answered.
         * @enum {string}
         */
        AnsweredFrom: "flows" | "rollup";
        /** @description Traffic of one application protocol. */
        ApplicationTraffic: {
            /**
             * Format: int64
             * @description IP bytes, each packet once.
             */
            bytes: number;
            /**
             * Format: int64
             * @description Flows since the start.
             */
            flows: number;
            /**
             * Format: int64
             * @description Flows among them for which the application is a guess from the port.
             */
            guessed_flows: number;
            /**
             * Format: int64
             * @description Packets.
             */
            packets: number;
        };
        /** @description A policy to bring into force (`POST /api/v1/policy/apply`). */
        ApplyRequest: {
            /** @description Time in which it has to be confirmed over a new connection, such as `120s`; as the document says when absent. */
            confirm?: string | null;
            /** @description The document: YAML or JSON, signed where this host wants signatures. */
            document: string;
        };
        /** @description How flows are tied to processes, and how well that goes. */
        Attribution: {
            /**
             * Format: int64
             * @description Flows with an end on this host whose process is known, since the start.
             */
            attributed_flows: number;
            /** @description Why not a better one; absent when it is the best. */
            fallback_reason?: string | null;
            /**
             * Format: int64
             * @description Processes remembered.
             */
            processes: number;
            /**
             * Format: int64
             * @description Sockets remembered.
             */
            sockets: number;
            /** @description `kernel-events`, `sock-diag` (polled, a lesser way) or `none`. */
            source: string;
            /**
             * Format: int64
             * @description Flows with an end on this host whose process is not known.
             */
            unattributed_flows: number;
        };
        /** @description An entry of the audit log: who changed what. */
        AuditEntryView: {
            /** @description Who did it: a user, a detector. */
            actor: string;
            /** @description Its name. */
            author: string;
            /** @description Id of the host in whose chain it stands. */
            author_id: string;
            /** @description More of it, for people. */
            detail: string;
            /** @description The entry's own hash, 64 hexadecimal digits: the next one names it. */
            hash: string;
            /**
             * Format: int64
             * @description Place in that chain, from 1.
             */
            number: number;
            /** @description When, by its author's clock, RFC 3339, UTC. */
            time: string;
            /** @description What: `policy-applied`, `ban`, `invited`, `removed`, … */
            what: string;
        };
        /** @description The audit log, latest first (`GET /api/v1/fleet/audit`). */
        AuditPage: {
            /** @description Entries on this page. */
            entries: components["schemas"]["AuditEntryView"][];
            /**
             * Format: int64
             * @description Offset of the next page; absent on the last.
             */
            next_offset?: number | null;
            /** @description When it was answered, RFC 3339, UTC. */
            time: string;
            /**
             * Format: int64
             * @description Entries in the log.
             */
            total: number;
        };
        /** @description The bans there are (`GET /api/v1/bans`). */
        BanPage: {
            /** @description The latest first, at most [`BANS_SHOWN`]. */
            bans: components["schemas"]["BanView"][];
            /** @description When it was taken, RFC 3339, UTC. */
            time: string;
            /**
             * Format: int64
             * @description How many there are.
             */
            total: number;
        };
        /** @description A ban to issue (`POST /api/v1/bans`). */
        BanRequest: {
            /** @description The address or prefix. */
            prefix: string;
            /** @description Why. */
            reason?: string | null;
            /** @description How long, such as `1h`; until it is lifted when absent. */
            ttl?: string | null;
        };
        /** @description One ban. */
        BanView: {
            /** @description Who issued it: `operator`, or the name of a detector. */
            origin: string;
            /** @description The address or prefix. */
            prefix: string;
            /** @description Why, as whoever issued it said. */
            reason: string;
            /**
             * Format: double
             * @description Seconds until it ends; absent when it does not end by itself.
             */
            seconds_left?: number | null;
            /** @description When, RFC 3339, UTC. */
            since?: string | null;
        };
        /** @description Where packets come from. */
        CaptureInfo: {
            /**
             * Format: double
             * @description Milliseconds one tick of the capture clock lasts: the resolution of flow times.
             */
            clock_resolution_ms: number;
            /** @description Why this source and not a better one; absent when it is the best. */
            fallback_reason?: string | null;
            /** @description Interfaces watched, or the file. */
            interfaces: string[];
            /**
             * Format: int64
             * @description Packets counted into flows since the start, as all interfaces saw them.
             */
            packets: number;
            /**
             * Format: int64
             * @description Flow records handed over by the datapath.
             */
            records: number;
            /** @description `ebpf-tcx`, `ebpf-clsact`, `af-packet` or `file`. */
            source: string;
        };
        /** @description Captures of the packets that alerts rest on. */
        CaptureSummary: {
            /**
             * Format: int64
             * @description Their size, in bytes.
             */
            bytes: number;
            /**
             * Format: int64
             * @description Files on disk.
             */
            files: number;
            /** @description Reason → what is missing since the agent began: `full` and `undelivered` packets, `busy`, `unseen`, `unwritten` and `removed` captures. */
            lost: {
                [key: string]: number;
            };
        };
        /** @description What decides besides rules, and how often it did. */
        CauseView: {
            /**
             * Format: int64
             * @description IP bytes.
             */
            bytes: number;
            /** @description Its label, as it stands in a flow's `rule`. */
            cause: string;
            /** @description What it means. */
            meaning: string;
            /**
             * Format: int64
             * @description Packets.
             */
            packets: number;
        };
        /** @description How delivery over one channel fares. */
        ChannelRow: {
            /** @description `alertmanager+http://10.0.0.9:9093`, without secrets. */
            channel: string;
            /** @description Outcome → messages: `delivered`, `retried`, `failed`, `dropped`, `suppressed`. */
            counts: {
                [key: string]: number;
            };
            /** @description What went wrong last. */
            last_error?: string | null;
            /** @description When it last worked, RFC 3339. */
            last_success?: string | null;
            /**
             * Format: int64
             * @description Messages that wait.
             */
            queued: number;
        };
        /** @description How one channel did. */
        ChannelTest: {
            /** @description Which. */
            channel: string;
            /** @description What went wrong; nothing when absent. */
            error?: string | null;
            /**
             * Format: double
             * @description How long it took.
             */
            seconds: number;
        };
        /** @description To try ways to tell people (`POST /api/v1/alerts/test`). */
        ChannelTestRequest: {
            /** @description One channel; all when absent. */
            channel?: string | null;
        };
        /** @description A code that logs in once. */
        CodeIssued: {
            /** @description The code. */
            code: string;
            /** @description Until when it holds, RFC 3339, UTC. */
            expires: string;
            /** @description What to open: path and fragment, which browsers keep to themselves. */
            url_path: string;
        };
        /** @description Entries of the connection tracking table. */
        ConntrackFill: {
            /**
             * Format: int64
             * @description In use.
             */
            entries: number;
            /**
             * Format: int64
             * @description Most it can hold.
             */
            limit: number;
        };
        /** @description Detectors of an agent. */
        DetectorPage: {
            /** @description In the order of the documentation. */
            detectors: components["schemas"]["DetectorRow"][];
        };
        /** @description One detector, for help and lists. */
        DetectorRow: {
            /**
             * Format: int64
             * @description What it remembers now.
             */
            entries: number;
            /**
             * Format: int64
             * @description Most that it may remember.
             */
            entries_max: number;
            /** @description How an attacker gets around it. */
            evaded_by: string;
            /**
             * Format: int64
             * @description What it forgot before its time for that, since the agent began.
             */
            given_up: number;
            /** @description `scan`, `flood`, … */
            kind: string;
            /** @description What it does not. */
            misses: string;
            /** @description `port_scan`. */
            name: string;
            /** @description Whether it works here. */
            on: boolean;
            /** @description What it catches. */
            sees: string;
            /** @description Severity of a plain case. */
            severity: components["schemas"]["Severity"];
            /**
             * Format: int64
             * @description Signs since the agent began.
             */
            signs: number;
            /** @description Whether its source may be a lie: `never`, `depends`, `always`. */
            spoofable: string;
            technique?: components["schemas"]["Technique"] | null;
            /** @description Threshold → value and unit. */
            thresholds: {
                [key: string]: string;
            };
            /** @description `Port scan`. */
            title: string;
        };
        /** @description One disk. */
        DiskLoad: {
            /**
             * Format: int64
             * @description Bytes read since boot.
             */
            read_bytes: number;
            /**
             * Format: double
             * @description Bytes read per second.
             */
            read_bytes_per_second: number;
            /**
             * Format: double
             * @description Share of time in which it had something to do, 0–1.
             */
            utilization: number;
            /**
             * Format: int64
             * @description Bytes written since boot.
             */
            written_bytes: number;
            /**
             * Format: double
             * @description Bytes written per second.
             */
            written_bytes_per_second: number;
        };
        /** @description How many different ones, estimated. */
        Distinct: {
            /**
             * Format: double
             * @description The best guess.
             */
            estimate: number;
            /**
             * Format: double
             * @description At most so many.
             */
            high: number;
            /**
             * Format: double
             * @description At least so many, in 95 of 100 cases with `high`.
             */
            low: number;
        };
        /** @description One DNS look-up of late. */
        DnsRow: {
            /** @description Addresses and names answered, at most eight. */
            answers: string[];
            /** @description Who asked. */
            client: string;
            /**
             * Format: double
             * @description Seconds until the answer.
             */
            latency_seconds?: number | null;
            /** @description Name asked for. */
            name: string;
            /** @description Process of this host that asked. */
            process?: string | null;
            /** @description Type asked for. */
            qtype: string;
            /** @description Response code; absent while there is no answer. */
            rcode?: string | null;
            /** @description Who was asked. */
            server: string;
            /** @description When it was answered (or asked, while there is no answer), RFC 3339, UTC. */
            time: string;
        };
        /** @description DNS (multicast DNS left out of all but `multicast`). */
        DnsSummary: {
            /** @description From query to response. */
            latency: components["schemas"]["Latency"];
            /**
             * Format: int64
             * @description Messages of multicast DNS and LLMNR.
             */
            multicast: number;
            /**
             * Format: int64
             * @description Queries seen.
             */
            queries: number;
            /** @description Response code → responses. */
            rcodes: {
                [key: string]: number;
            };
            /** @description Look-ups of late, latest first. */
            recent: components["schemas"]["DnsRow"][];
            /**
             * Format: int64
             * @description Responses seen.
             */
            responses: number;
            /** @description Names asked for most often. */
            top_names: components["schemas"]["NameCount"][];
            /** @description Type → queries. */
            types: {
                [key: string]: number;
            };
        };
        /** @description A policy's text, signed or not (`POST /api/v1/policy/check`, `…/diff`, `…/statement`). */
        DocumentRequest: {
            /** @description The text: YAML or JSON. */
            document: string;
        };
        /** @description How often something happened to rules. */
        DriftCount: {
            /**
             * Format: int64
             * @description To others'.
             */
            others: number;
            /**
             * Format: int64
             * @description To ours.
             */
            ours: number;
        };
        /** @description Packets that the kernel dropped for one reason, at one interface, of one protocol. */
        DropRow: {
            /** @description Interface; empty where there was none. */
            interface: string;
            /** @description Destination of the latest. */
            last_destination?: string | null;
            /** @description Source of the latest. */
            last_source?: string | null;
            /**
             * Format: int64
             * @description Packets.
             */
            packets: number;
            /** @description Protocol; `other` where the packet could not be read. */
            protocol: string;
            /** @description The kernel's name of the reason, in small letters. */
            reason: string;
        };
        /** @description On what it rests. */
        Evidence: {
            /**
             * @description File with a capture of its first packets on the host that raised it, where one was allowed; `GET
             *     /api/v1/alerts/capture` and `hivewall alerts capture` hand it out.
             */
            capture?: string | null;
            /** @description Named figures with their units in the names: `ports`, `attempts`, `packets_per_second`. */
            figures?: {
                [key: string]: number;
            };
            /** @description Numbers of flows it was seen in, at most 16. */
            flows?: number[];
            owners?: components["schemas"]["OwnersEvidence"] | null;
            /** @description What was seen, in words: names asked for, user names tried; at most 8 of at most 128 characters. */
            samples?: string[];
        };
        /** @description What a host's packet filters would do to a packet, ours among them where the policy is kept there. */
        ExplainFilters: {
            /** @description Packet filters that could not be asked, and why. */
            not_asked?: string[];
            /** @description Whether that rule is ours. */
            ours: boolean;
            /** @description The rule that decides, or that cannot be judged, with its place; empty when nothing drops the packet. */
            place: string;
            /** @description `accepted`, `dropped`, `rejected`, or `cannot_tell`. */
            verdict: string;
            /** @description What the rule says, or what cannot be known. */
            why: string;
        };
        /** @description A packet to explain (`POST /api/v1/policy/explain`). */
        ExplainRequest: {
            /**
             * Format: int32
             * @description Destination port.
             */
            destination_port?: number | null;
            /** @description `in` or `out`; found out from the host's addresses when absent. */
            direction?: string | null;
            /** @description A document to ask instead of the policy in force. */
            document?: string | null;
            /** @description TCP flags as letters (`S`, `SA`); `S` when absent. */
            flags?: string | null;
            /** @description Source address. */
            from: string;
            /** @description ICMP type, or `TYPE/CODE`. */
            icmp?: string | null;
            /** @description Interface. */
            interface?: string | null;
            /** @description Protocol, by name or number; `tcp` when absent. */
            protocol?: string | null;
            /**
             * Format: int32
             * @description Source port.
             */
            source_port?: number | null;
            /** @description Destination address. */
            to: string;
        };
        /** @description One rule on the way of a packet. */
        ExplainStep: {
            /** @description What it says: `accept`, `drop`, `reject` or `pass`. */
            action: string;
            /**
             * Format: int32
             * @description The line of the document it begins on.
             */
            line?: number | null;
            /**
             * @description What came of asking it: `passed_over`, `unknown` (there is no transport header to tell by), `sent_on` (to the next
             *     tier) or `decides`.
             */
            outcome: string;
            /** @description The rule's id. */
            rule: string;
            /** @description Where it stands: `guard`, `exempt`, or its tier. */
            tier: string;
            /** @description Why it does not match, or what follows from it, in words. */
            why: string;
        };
        /** @description What becomes of a packet, and why. */
        Explanation: {
            /** @description What decides, in words. */
            because: string;
            /** @description What else is to be known: that the policy only observes, what the host's packet filters would do. */
            notes?: string[];
            /** @description The packet as it was understood, in words. */
            packet: string;
            packet_filters?: components["schemas"]["ExplainFilters"] | null;
            /** @description The rule that decides; absent when a ban does, or nothing. */
            rule?: string | null;
            /** @description The rules that were asked, in order; the last one is the one that decides. */
            steps: components["schemas"]["ExplainStep"][];
            /** @description `accept`, `drop` or `reject`. */
            verdict: string;
        };
        /** @description How flow export to one collector fares. */
        ExportRow: {
            /**
             * Format: int64
             * @description Bytes of these.
             */
            bytes: number;
            /** @description What went wrong last. */
            last_error?: string | null;
            /** @description Reason → records that were lost. */
            lost: {
                [key: string]: number;
            };
            /**
             * Format: int64
             * @description Messages they went in.
             */
            messages: number;
            /**
             * Format: int64
             * @description Records that wait.
             */
            queued: number;
            /**
             * Format: int64
             * @description Records sent since the agent began.
             */
            records: number;
            /** @description `ipfix+udp://192.0.2.9:4739`, without secrets. */
            target: string;
        };
        /** @description Sockets in one state. */
        FamilyCount: {
            /**
             * Format: int64
             * @description IPv4.
             */
            ipv4: number;
            /**
             * Format: int64
             * @description IPv6.
             */
            ipv6: number;
        };
        /** @description Fields of filters, and columns of flows (`GET /api/v1/fields`). */
        FieldCatalogue: {
            /** @description What a flow has, in the order of the JSON document. */
            columns: components["schemas"]["FlowColumn"][];
            /** @description What a filter can name, in the order of the reference. */
            filter: components["schemas"]["FilterField"][];
        };
        /** @description One mounted filesystem. */
        FilesystemFill: {
            /**
             * Format: int64
             * @description Bytes that can still be written.
             */
            available_bytes: number;
            /** @description What is mounted. */
            device: string;
            /** @description Its kind. */
            kind: string;
            /**
             * Format: int64
             * @description Bytes it can hold.
             */
            size_bytes: number;
        };
        /** @description A field that a filter can name, also with `-` before it. */
        FilterField: {
            /** @description What it does, one sentence. */
            doc: string;
            /** @description Values that can stand there, for example. */
            examples: string[];
            /** @description What is to be written behind it, as a noun phrase. */
            expects: string;
            /** @description What stands before the colon. */
            name: string;
            /** @description The words it takes, where it takes only some. */
            words: string[];
        };
        /** @description A change of the host's packet filters that somebody else made, or our answer to one. */
        FirewallChange: {
            /** @description `nftables`, `iptables-nft` or `iptables-legacy`. */
            backend: string;
            /** @description The chain; empty for the table itself. */
            chain?: string;
            /** @description In words: which rules, how many, or why a repair failed. */
            detail: string;
            /** @description Family of the table. */
            family?: string;
            /** @description Whether it was ours. */
            ours: boolean;
            /**
             * Format: int32
             * @description The process that did it, where the kernel tells.
             */
            pid?: number | null;
            /** @description Its name. */
            process?: string | null;
            /** @description The table; empty for an answer, which is about all of ours. */
            table?: string;
            /** @description When it was noticed, RFC 3339, UTC. */
            time: string;
            /**
             * @description `table-added`, `table-gone`, `chain-added`, `chain-gone`, `chain-flushed`, `base-changed`, `rule-added`,
             *     `rule-removed`, `rule-changed`, `reordered`, `set-changed`; `repaired` or `repair-failed` for an answer.
             */
            what: string;
        };
        /** @description Changes of the host's packet filters since the agent's start. */
        FirewallDrift: {
            /** @description What happened → how often, to ours and to others'. */
            changes: {
                [key: string]: components["schemas"]["DriftCount"];
            };
            /** @description The latest changes and repairs, newest first, at most [`FIREWALL_CHANGES_SHOWN`]. */
            last: components["schemas"]["FirewallChange"][];
            /**
             * Format: int64
             * @description Times that ours was put back.
             */
            repairs: number;
            /**
             * Format: int64
             * @description Times that it could not be.
             */
            repairs_failed: number;
        };
        /** @description Something that an operator has to look at. */
        FleetAlarm: {
            /** @description What happened and what to do, for people. */
            detail: string;
            /** @description Name of the host it is about; empty when it is about none, or about this one. */
            host: string;
            /** @description `two_policies`, `two_entries`, `too_many_bans`, `away`, `implausible`, … */
            kind: string;
            /** @description When, RFC 3339, UTC. */
            time: string;
        };
        /** @description A host that raised an alert. */
        FleetAlertHost: {
            /** @description Id of the alert there. */
            alert_id: string;
            /** @description Name of the host. */
            host: string;
            /** @description Its id. */
            host_id: string;
            /** @description Latest sign there, RFC 3339. */
            last_seen: string;
            /** @description What was done about it there: `ban done`. */
            response?: string | null;
            /** @description How bad there. */
            severity: components["schemas"]["Severity"];
            /** @description Whether it goes on there. */
            state: components["schemas"]["AlertState"];
        };
        /** @description Alerts of all hosts (`GET /api/v1/fleet/alerts`). */
        FleetAlertPage: {
            /** @description The rows, the latest first. */
            alerts: components["schemas"]["FleetAlertRow"][];
            /** @description Who answered. */
            answer: components["schemas"]["FleetAnswer"];
            /**
             * Format: int64
             * @description Alerts that match at the hosts that answered, those of one row each counted.
             */
            matched: number;
            /** @description When it was answered, RFC 3339, UTC. */
            time: string;
        };
        /**
         * @description One alert, over all hosts that raised it: what is the same are detector, source, subject and port, and the targets where nobody can be
         *     named as the source.
         */
        FleetAlertRow: {
            /** @description The alert as the first of the hosts has it. */
            alert: components["schemas"]["Alert"];
            /** @description First sign at any host, RFC 3339. */
            first_at: string;
            /** @description Those with the worst first, at most [`ALERT_HOSTS_SHOWN`]. */
            raised_by: components["schemas"]["FleetAlertHost"][];
            /**
             * Format: int64
             * @description Hosts that raised it.
             */
            raised_by_total: number;
            /**
             * Format: int64
             * @description Signs of all of them.
             */
            signs_total: number;
        };
        /** @description Who answered a question that all were asked. */
        FleetAnswer: {
            /** @description Whether all of them answered. */
            complete: boolean;
            /**
             * Format: int64
             * @description Hosts that answered.
             */
            heard: number;
            /**
             * Format: int64
             * @description Hosts that are in the fleet and may be there: alive and suspect ones.
             */
            known: number;
            /** @description Those that did not answer, at most [`MISSING_SHOWN`]. */
            missing: components["schemas"]["HostMissing"][];
            /**
             * Format: int64
             * @description How long the question took, milliseconds.
             */
            took_ms: number;
        };
        /** @description A ban or a limit that the fleet spreads. */
        FleetBanView: {
            /** @description Until when, RFC 3339, UTC. */
            expires: string;
            /** @description Its name. */
            issuer: string;
            /** @description Id of the host that issued it. */
            issuer_id: string;
            /** @description New flows that come through, as a policy writes it (`10/m`); absent for a ban, which lets nothing through. */
            limit?: string | null;
            /**
             * Format: int64
             * @description The issuer's own number for it.
             */
            number: number;
            /** @description The address or prefix; empty when the ban cannot be read. */
            prefix: string;
            /** @description Why. */
            reason: string;
            /** @description When, RFC 3339, UTC. */
            since: string;
        };
        /** @description How much of the fleet a figure speaks for. */
        FleetCoverage: {
            /**
             * Format: int64
             * @description Milliseconds since the end of its epoch.
             */
            age_ms: number;
            /** @description Whether all known hosts are in it. */
            complete: boolean;
            /**
             * Format: int64
             * @description Its epoch: Unix seconds divided by ten.
             */
            epoch: number;
            /**
             * Format: int64
             * @description Hosts that are in it.
             */
            heard: number;
            /**
             * Format: int64
             * @description Hosts that were known to be alive then.
             */
            known: number;
        };
        /** @description Flows of all hosts (`GET /api/v1/fleet/flows`). A flow between two members is on both. */
        FleetFlowPage: {
            /** @description Who answered. */
            answer: components["schemas"]["FleetAnswer"];
            /** @description The rows, in the order that was asked for. */
            flows: components["schemas"]["FleetFlowRow"][];
            /**
             * Format: int64
             * @description Flows that match at the hosts that answered.
             */
            matched: number;
            /**
             * Format: int64
             * @description Offset of the next page; absent on the last.
             */
            next_offset?: number | null;
            /**
             * Format: int64
             * @description Flows looked at there.
             */
            searched: number;
            /** @description When it was answered, RFC 3339, UTC. */
            time: string;
        };
        /** @description A flow and the host that saw it. */
        FleetFlowRow: {
            /** @description The flow, as that host has it. */
            flow: components["schemas"]["FlowRow"];
            /** @description Name of the host that saw it. */
            host: string;
            /** @description Its id. */
            host_id: string;
        };
        /** @description What came to nothing since the agent's start: reason → how often. */
        FleetLosses: {
            /** @description In the protocol: messages refused, given up or not sent. */
            core: {
                [key: string]: number;
            };
            /** @description In the links: datagrams, streams and handshakes refused. */
            links: {
                [key: string]: number;
            };
        };
        /**
         * @description What this host says to the others and hears from them, since the agent's start. Bytes are those of payloads, without
         *     headers of IP and UDP.
         */
        FleetMeter: {
            /**
             * Format: int64
             * @description QUIC connections open now.
             */
            connections: number;
            /**
             * Format: int64
             * @description Handshakes that succeeded.
             */
            handshakes: number;
            /**
             * Format: int64
             * @description Sessions for datagrams open now.
             */
            sessions: number;
            /** @description `datagram`, `stream`, … → what moved. */
            traffic: {
                [key: string]: components["schemas"]["FleetMeterCell"];
            };
        };
        /** @description What moved of one kind. */
        FleetMeterCell: {
            /**
             * Format: int64
             * @description Their bytes.
             */
            in_bytes: number;
            /**
             * Format: int64
             * @description Messages heard.
             */
            in_messages: number;
            /**
             * Format: int64
             * @description Their bytes.
             */
            out_bytes: number;
            /**
             * Format: int64
             * @description Messages sent.
             */
            out_messages: number;
        };
        /** @description What came of a command. */
        FleetOutcome: {
            /** @description What was done, for people. */
            done: string;
            /** @description What else is to be known or done, one sentence each. */
            notes?: string[];
        };
        /** @description What a policy would have done on the hosts of the fleet (`POST /api/v1/fleet/rehearse`). */
        FleetRehearsal: {
            /** @description Who answered. */
            answer: components["schemas"]["FleetAnswer"];
            /**
             * @description What it would cut on all of them: what it refuses and the policy in force there does not. A flow between two members counts at
             *     each of them that refuses it.
             */
            cut: components["schemas"]["RehearsalSum"];
            /** @description Each host that answered, the most cut first. */
            hosts: components["schemas"]["HostRehearsal"][];
            /**
             * Format: int64
             * @description Hosts where it would cut flows.
             */
            hosts_cut: number;
            /** @description The policy that was tried. */
            policy: components["schemas"]["PolicyName"];
            /** @description What was judged on all of them. */
            seen: components["schemas"]["RehearsalSum"];
            /** @description When it was answered, RFC 3339, UTC. */
            time: string;
        };
        /** @description One rule, over all hosts where it holds. */
        FleetRuleRow: {
            /**
             * Format: int64
             * @description Hosts where it holds.
             */
            hosts: number;
            /**
             * Format: int64
             * @description Hosts where it decided a packet.
             */
            hosts_hit: number;
            /** @description Name of the policy; empty for what holds without one. */
            policy: string;
            /** @description The rule, its counters and rates added up over hosts, its latest hit that of any. */
            rule: components["schemas"]["RuleView"];
            /**
             * Format: int64
             * @description Its version.
             */
            version: number;
        };
        /** @description The rules that hold on the hosts, with their counters added up (`GET /api/v1/fleet/rules`). */
        FleetRulesPage: {
            /** @description Who answered. */
            answer: components["schemas"]["FleetAnswer"];
            /** @description Rules of each policy and version in order of judgement, most hosts first. */
            rules: components["schemas"]["FleetRuleRow"][];
            /** @description When it was answered, RFC 3339, UTC. */
            time: string;
        };
        /** @description What each host is like (`GET /api/v1/fleet/snapshot`). */
        FleetSnapshotPage: {
            /** @description Who answered. */
            answer: components["schemas"]["FleetAnswer"];
            /** @description Hosts, most traffic first. */
            hosts: components["schemas"]["HostDigest"][];
            /** @description When it was answered, RFC 3339, UTC. */
            time: string;
        };
        /** @description The largest of something. */
        FleetTop: {
            /**
             * Format: int64
             * @description Bytes that any key may have beyond what is listed of it, listed or not.
             */
            hidden_bytes_max: number;
            /** @description Largest first. */
            rows: components["schemas"]["FleetTopRow"][];
        };
        /** @description One of the largest: between `bytes` and `bytes_max`. */
        FleetTopRow: {
            /**
             * Format: int64
             * @description At least so many IP bytes.
             */
            bytes: number;
            /**
             * Format: int64
             * @description At most so many.
             */
            bytes_max: number;
            /** @description Name of the member that has this address; empty when none has. */
            host?: string;
            /** @description Address or service. */
            key: string;
        };
        /** @description What all saw together in one epoch of ten seconds. Of a flow between two members one counts, the one that began it. */
        FleetTotalView: {
            /**
             * Format: int64
             * @description IP bytes.
             */
            bytes: number;
            /** @description Hosts that are in it. */
            coverage: components["schemas"]["FleetCoverage"];
            /** @description To whom most was sent. */
            destinations: components["schemas"]["FleetTop"];
            /** @description Different destinations. */
            distinct_destinations: components["schemas"]["Distinct"];
            /** @description Different pairs of source and destination. */
            distinct_pairs: components["schemas"]["Distinct"];
            /** @description Different sources. */
            distinct_sources: components["schemas"]["Distinct"];
            /**
             * Format: int64
             * @description Flows.
             */
            flows: number;
            /**
             * Format: int64
             * @description Packets. Exact for the hosts that are in it, as are bytes and flows.
             */
            packets: number;
            /**
             * Format: double
             * @description Length of the epoch, seconds.
             */
            seconds: number;
            /** @description What was talked to most: `tcp/443`. */
            services: components["schemas"]["FleetTop"];
            /** @description Who sent most. */
            sources: components["schemas"]["FleetTop"];
            /** @description When the epoch ended, RFC 3339, UTC. */
            time: string;
            /** @description The same by protocol and direction, most bytes first. */
            traffic: components["schemas"]["FleetTraffic"][];
        };
        /** @description Traffic of one protocol in one direction. */
        FleetTraffic: {
            /**
             * Format: int64
             * @description IP bytes.
             */
            bytes: number;
            /** @description `in` or `out`, as the hosts that are in the total saw it. */
            direction: string;
            /**
             * Format: int64
             * @description Flows.
             */
            flows: number;
            /**
             * Format: int64
             * @description Packets on the wire.
             */
            packets: number;
            /** @description Protocol by name. */
            protocol: string;
        };
        /** @description The fleet, as this host knows it (`GET /api/v1/fleet`). */
        FleetView: {
            /** @description What an operator has to look at, latest first, at most [`ALARMS_SHOWN`]. */
            alarms: components["schemas"]["FleetAlarm"][];
            /**
             * Format: int64
             * @description Alarms since the agent's start.
             */
            alarms_total: number;
            /** @description The audit log's latest entries, latest first, at most [`AUDIT_SHOWN`]. */
            audit: components["schemas"]["AuditEntryView"][];
            /**
             * Format: int64
             * @description Entries in the log.
             */
            audit_total: number;
            /** @description Bans and limits that the fleet spreads, latest first, at most [`FLEET_BANS_SHOWN`]. */
            bans: components["schemas"]["FleetBanView"][];
            /**
             * Format: int64
             * @description How many there are.
             */
            bans_total: number;
            /** @description Id of the cluster, 32 hexadecimal digits. */
            cluster: string;
            /** @description How much of the fleet the figures in `total` speak for. */
            coverage: components["schemas"]["FleetCoverage"];
            /**
             * Format: int32
             * @description How many others it takes for slower than itself to blame itself: 0 when it trusts its own judgement, up to 8.
             */
            doubt: number;
            /** @description Whether it may issue invitations. */
            enroller: boolean;
            /** @description Whether it is among others; false while it is alone. */
            joined: boolean;
            /** @description What links between hosts are like, slowest first, at most [`LINKS_SHOWN`]. */
            links: components["schemas"]["LinkView"][];
            /**
             * Format: int64
             * @description How many links were timed.
             */
            links_total: number;
            /** @description What came to nothing, by reason. */
            losses: components["schemas"]["FleetLosses"];
            /** @description Members, those that are not alive first and then by name, at most [`MEMBERS_SHOWN`]. */
            members: components["schemas"]["MemberView"][];
            /** @description What this host says to the others and hears from them. */
            meter: components["schemas"]["FleetMeter"];
            /** @description Id of the host that tells, 32 hexadecimal digits. */
            own_id: string;
            /** @description Its name. */
            own_name: string;
            rollout?: components["schemas"]["RolloutView"] | null;
            /** @description Members by state, all of them. */
            states: components["schemas"]["MemberCounts"];
            /** @description When it was taken, RFC 3339, UTC. */
            time: string;
            total?: components["schemas"]["FleetTotalView"] | null;
        };
        /** @description One column of a flow. */
        FlowColumn: {
            /** @description What it says, one sentence. */
            doc: string;
            /** @description `text`, `number`, `time`, `bytes`, `flag` or `list`. */
            kind: string;
            /** @description Key in the JSON. */
            name: string;
            /** @description Short header. */
            title: string;
            /** @description Unit of the number; empty where there is none. */
            unit: string;
        };
        /** @description How many flows there are and were. */
        FlowCounts: {
            /**
             * Format: int64
             * @description Living.
             */
            active: number;
            /** @description End reason → flows that ended so. */
            ended: {
                [key: string]: number;
            };
            /**
             * Format: int64
             * @description Most that can live at once.
             */
            limit: number;
            /**
             * Format: double
             * @description New flows a second, over the last second.
             */
            new_per_second: number;
            /**
             * Format: int64
             * @description Seen since the start.
             */
            total: number;
        };
        /** @description One page of the answer. */
        FlowPage: {
            /** @description The rows. */
            flows: components["schemas"]["FlowRow"][];
            /**
             * Format: int64
             * @description Flows that match, on this and other pages.
             */
            matched: number;
            /**
             * Format: int64
             * @description Offset of the next page; absent on the last.
             */
            next_offset?: number | null;
            /** @description How far back closed flows go, RFC 3339; absent when none was discarded yet. */
            reaches_back_to?: string | null;
            /**
             * Format: int64
             * @description Flows looked at.
             */
            searched: number;
            /** @description When it was answered, RFC 3339, UTC. */
            time: string;
        };
        /**
         * @description One conversation. `source` is the client. Bytes are IP bytes (from the IP header to the end of the datagram) unless
         *     the name says wire, which adds link headers, VLAN tags and padding.
         */
        FlowRow: {
            /** @description Application protocol: as its payload showed, or guessed from the server's port. */
            application?: string | null;
            /** @description True when `application` is a guess from the port; shown as `~https`. */
            application_guessed?: boolean;
            /**
             * Format: double
             * @description IP bits per second, both directions, over the latest second.
             */
            bits_per_second: number;
            /**
             * Format: int64
             * @description IP bytes, both directions.
             */
            bytes: number;
            /**
             * Format: int64
             * @description IP bytes from server to client.
             */
            bytes_to_client: number;
            /**
             * Format: int64
             * @description IP bytes from client to server.
             */
            bytes_to_server: number;
            /** @description Path of its cgroup. */
            cgroup?: string | null;
            /** @description Community ID, version 1. */
            community_id: string;
            /** @description Its container: name, or id where the runtime tells no name. */
            container?: string | null;
            /** @description Id of its container. */
            container_id?: string | null;
            /** @description Server address. */
            dest_ip: string;
            /**
             * Format: int32
             * @description Server port; absent where the protocol has none.
             */
            dest_port?: number | null;
            /** @description `inbound`, `outbound`, `local` or `transit`, as this host sees it. */
            direction: string;
            /** @description Name of the latest DNS question. */
            dns_query?: string | null;
            /** @description Response code of the latest DNS response: `NOERROR`, `NXDOMAIN`, …. */
            dns_rcode?: string | null;
            /** @description Type of the latest DNS question: `A`, `AAAA`, …. */
            dns_type?: string | null;
            /**
             * Format: int64
             * @description IP bytes of those; they are among `bytes`.
             */
            dropped_bytes?: number;
            /**
             * Format: int64
             * @description Packets that were dropped, both directions; they are among `packets`.
             */
            dropped_packets?: number;
            /**
             * Format: double
             * @description Seconds from the first packet to the latest.
             */
            duration_seconds: number;
            /** @description Latest packet, RFC 3339, UTC. */
            end: string;
            /** @description Why it ended: `finished`, `reset`, `idle_timeout`, `active_timeout`, `table_full`, `reused`, `shutdown`. */
            end_reason?: string | null;
            /** @description Path of its executable. */
            executable?: string | null;
            /**
             * Format: int64
             * @description Number of the flow on its agent; unique since the agent's start.
             */
            flow_id: number;
            /**
             * Format: double
             * @description Of that, SYN-ACK to ACK: this host to the client and back.
             */
            handshake_client_seconds?: number | null;
            /**
             * Format: double
             * @description Seconds of the TCP handshake, SYN to the last ACK.
             */
            handshake_rtt_seconds?: number | null;
            /**
             * Format: double
             * @description Of that, SYN to SYN-ACK: this host to the server and back.
             */
            handshake_server_seconds?: number | null;
            /** @description Method of the latest HTTP request. */
            http_method?: string | null;
            /**
             * Format: int32
             * @description HTTP requests seen.
             */
            http_requests?: number;
            /**
             * Format: int32
             * @description Status of the latest HTTP response.
             */
            http_status?: number | null;
            /** @description Target of the latest HTTP request. */
            http_target?: string | null;
            /**
             * Format: int32
             * @description ICMP code.
             */
            icmp_code?: number | null;
            /**
             * Format: int32
             * @description ICMP type of the first packet's direction.
             */
            icmp_type?: number | null;
            /** @description Where it was seen. Each packet counts once in the flow however many interfaces saw it. */
            interfaces: components["schemas"]["PointRow"][];
            /** @description JA4 fingerprint of the client. */
            ja4?: string | null;
            /**
             * Format: double
             * @description Jitter of round trips, seconds.
             */
            jitter_seconds?: number | null;
            /**
             * Format: int32
             * @description Segments the local TCP socket received out of order.
             */
            out_of_order?: number | null;
            /**
             * Format: int64
             * @description Packets, both directions.
             */
            packets: number;
            /**
             * Format: int64
             * @description Packets from server to client.
             */
            packets_to_client: number;
            /**
             * Format: int64
             * @description Packets from client to server.
             */
            packets_to_server: number;
            /**
             * Format: int32
             * @description Its process id.
             */
            peer_pid?: number | null;
            /** @description Command name of the process at the other end, where both ends are on this host. */
            peer_process?: string | null;
            /**
             * Format: int32
             * @description Its process id.
             */
            pid?: number | null;
            /**
             * Format: int32
             * @description The change of policy that the verdict is of, in the datapath's own count.
             */
            policy_epoch?: number | null;
            /** @description Fragments whose first one was not seen: ports are unknown. */
            ports_unknown?: boolean;
            /** @description Command name of the process of this host that the flow belongs to: the client's, else the server's. */
            process?: string | null;
            /** @description Protocol name, or its number where it has no usual name. */
            protocol: string;
            /**
             * Format: int32
             * @description IP protocol number.
             */
            protocol_number: number;
            /** @description Id of the rule that decided about them. */
            reply_rule?: string | null;
            /** @description What the policy said of the server's packets, where that is something else. */
            reply_verdict?: string | null;
            /**
             * Format: int32
             * @description Segments the local TCP socket sent again.
             */
            retransmits?: number | null;
            /** @description False when no handshake was seen and the roles of client and server were guessed. */
            roles_known: boolean;
            /**
             * Format: double
             * @description Seconds of the latest request-and-answer round trip (DNS, QUIC, ICMP echo).
             */
            round_trip_seconds?: number | null;
            /**
             * Format: double
             * @description Its mean deviation, seconds.
             */
            rtt_deviation_seconds?: number | null;
            /** @description Id of the rule that decided, or what decided instead of a rule, in parentheses. */
            rule?: string | null;
            /** @description Name of the server. */
            server_name?: string | null;
            /** @description How it became known: `sni`, `host`, or `dns`, which is inferred from an earlier look-up. */
            server_name_source?: string | null;
            /**
             * Format: double
             * @description Seconds from the client's first payload to the server's first.
             */
            server_response_seconds?: number | null;
            /**
             * Format: double
             * @description Smoothed round-trip time of the local TCP socket, seconds.
             */
            smoothed_rtt_seconds?: number | null;
            /** @description Client address. */
            source_ip: string;
            /**
             * Format: int32
             * @description Client port; absent where the protocol has none.
             */
            src_port?: number | null;
            /** @description SSH identification of the client. */
            ssh_client?: string | null;
            /** @description SSH identification of the server. */
            ssh_server?: string | null;
            /** @description First packet, RFC 3339, UTC. */
            start: string;
            /** @description `active` while it lives, `closed` after. */
            state: string;
            /** @description TCP flags seen from the server. */
            tcp_flags_to_client?: string | null;
            /** @description TCP flags seen from the client, as nfdump writes them (`CEUAPRSF`, a dot for each one not seen). */
            tcp_flags_to_server?: string | null;
            /** @description TCP state: `SYN_SENT`, `SYN_RECV`, `ESTABLISHED`, `FIN_WAIT`, `CLOSED`, `RESET`. */
            tcp_state?: string | null;
            /** @description First protocol the client offered by ALPN. */
            tls_alpn?: string | null;
            /** @description Greatest TLS version the client offered: `TLS 1.3`. */
            tls_version?: string | null;
            /** @description The tunnel its packets were inside of: `ipip`, `6in4`, `gre`, `vxlan`, `geneve`. */
            tunnel?: string | null;
            /** @description Its user: name, or number where there is no name. */
            user?: string | null;
            /**
             * @description What the policy said of the client's packets: `accept`, `drop`, `reject`, or `observed` where they pass and would
             *     be refused if the policy were enforced. Absent where no policy judged them.
             */
            verdict?: string | null;
            /** @description VLAN ids, outer first. */
            vlan?: number[];
            /**
             * Format: int64
             * @description Link-layer bytes from server to client.
             */
            wire_bytes_to_client: number;
            /**
             * Format: int64
             * @description Link-layer bytes from client to server.
             */
            wire_bytes_to_server: number;
            /** @description True where the verdict is `observed`. */
            would_drop?: boolean;
        };
        /** @description A target of connections that are not complete. */
        HalfOpenTarget: {
            /**
             * Format: int64
             * @description Flows to it that have sent SYN and are not established.
             */
            half_open: number;
            /** @description Address and port connected to. */
            target: string;
        };
        /** @description The health document (`GET /api/v1/health`). `failing` comes with status code 503, the others with 200. */
        Health: {
            /** @description Where packets come from: `ebpf-tcx`, `ebpf-clsact`, `af-packet` or `file`. */
            capture_source: string;
            /** @description Whether the host is in a fleet, and so whether the operations under `/api/v1/fleet` have answers. */
            fleet?: boolean;
            /** @description Why it is not `ok`; empty when it is. */
            reasons: components["schemas"]["HealthReason"][];
            /** @description How the agent is. */
            status: components["schemas"]["HealthStatus"];
            /** @description When the newest snapshot was taken, RFC 3339, UTC. */
            time: string;
            /**
             * Format: double
             * @description Seconds since the agent started.
             */
            uptime_seconds: number;
            /** @description Version of hivewall. */
            version: string;
        };
        /** @description One thing that is not as it should be. */
        HealthReason: {
            /** @description What is wrong, for people. */
            detail: string;
            /** @description `stalled`, `capture_fallback`, `policy` or `losses`. */
            kind: string;
            /**
             * @description What it is about, where the kind has several: for `losses` the key under `losses` in the snapshot, for `policy` the
             *     kind of failure under `firewall_rules.failures`.
             */
            subject?: string | null;
        };
        /**
         * @description How the agent is.
         * @enum {string}
         */
        HealthStatus: "ok" | "degraded" | "failing";
        /** @description What history is kept. */
        HistoryInfo: {
            /**
             * Format: int64
             * @description Bytes on disk, roll-ups included.
             */
            bytes: number;
            /** @description Where it is kept; empty while it is off. */
            directory: string;
            /** @description Why nothing is written now (disk full, …); absent when all is well. */
            failure?: string | null;
            /**
             * Format: int64
             * @description Flows on disk.
             */
            flows: number;
            /** @description First packet of the oldest flow kept, RFC 3339; absent while there is none. */
            oldest?: string | null;
            /**
             * Format: int64
             * @description Segments on disk.
             */
            segments: number;
        };
        /** @description What one host's snapshot comes down to. */
        HostDigest: {
            /**
             * Format: int64
             * @description Flows that are alive.
             */
            flows: number;
            /** @description Its id. */
            id: string;
            /**
             * Format: double
             * @description IP bits a second received, each packet once at each interface.
             */
            in_bits_per_second: number;
            /** @description Kernel release. */
            kernel: string;
            /**
             * Format: int64
             * @description Packets that were not counted into flows, for any reason.
             */
            lost_packets: number;
            /** @description Its name in the fleet. */
            name: string;
            /**
             * Format: double
             * @description IP bits a second sent.
             */
            out_bits_per_second: number;
            /** @description Name of the policy in force; empty without one. */
            policy: string;
            /** @description `enforce`, `observe`, or empty. */
            policy_mode: string;
            /**
             * Format: int64
             * @description Its version.
             */
            policy_version: number;
            /** @description What an operator of that host should know or do. */
            problems: string[];
            /**
             * Format: int64
             * @description Packets that its policy refused.
             */
            refused_packets: number;
            /** @description Where its packets come from. */
            source: string;
            /** @description When its snapshot was taken, RFC 3339, UTC. */
            time: string;
            /**
             * Format: double
             * @description Seconds since its agent started.
             */
            uptime_seconds: number;
            /** @description Version of hivewall. */
            version: string;
        };
        /** @description The host and the agent on it. */
        HostInfo: {
            /**
             * Format: double
             * @description CPU seconds the agent has used.
             */
            agent_cpu_seconds: number;
            /**
             * Format: int64
             * @description Bytes of memory the agent holds resident.
             */
            agent_memory_bytes: number;
            /** @description Kernel release. */
            kernel: string;
            /** @description Host name. */
            name: string;
            /**
             * Format: double
             * @description Seconds since the agent started (in a replay: of captured time).
             */
            uptime_seconds: number;
            /** @description Version of hivewall. */
            version: string;
        };
        /** @description A host that did not answer. */
        HostMissing: {
            /** @description Its id. */
            id: string;
            /** @description Its name. */
            name: string;
            /** @description Why, for people. */
            reason: string;
        };
        /** @description What a policy would have done on one host. */
        HostRehearsal: {
            /** @description What it would cut there. */
            cut: components["schemas"]["RehearsalSum"];
            /** @description Its id. */
            id: string;
            /** @description Its name. */
            name: string;
            /** @description All that the host said of it. */
            rehearsal: components["schemas"]["Rehearsal"];
        };
        /**
         * @description How it is known who asks.
         * @enum {string}
         */
        How: "loopback" | "session" | "token";
        /** @description One HTTP request of late. */
        HttpRow: {
            /** @description Client address. */
            client: string;
            /** @description Host. */
            host: string;
            /**
             * Format: double
             * @description Seconds until the answer's head.
             */
            latency_seconds?: number | null;
            /** @description Method. */
            method: string;
            /** @description Process of this host at one of the ends. */
            process?: string | null;
            /** @description Server address. */
            server: string;
            /**
             * Format: int32
             * @description Status; absent while there is no answer.
             */
            status?: number | null;
            /** @description Target. */
            target: string;
            /** @description When it was answered (or asked), RFC 3339, UTC. */
            time: string;
        };
        /** @description HTTP/1.x in the clear. */
        HttpSummary: {
            /** @description From request to the head of its response. */
            latency: components["schemas"]["Latency"];
            /** @description Method → requests; unusual ones under `other`. */
            methods: {
                [key: string]: number;
            };
            /** @description Requests of late, latest first. */
            recent: components["schemas"]["HttpRow"][];
            /**
             * Format: int64
             * @description Requests seen.
             */
            requests: number;
            /**
             * Format: int64
             * @description Responses seen.
             */
            responses: number;
            /** @description Status → responses. */
            statuses: {
                [key: string]: number;
            };
            /** @description Hosts asked most often. */
            top_hosts: components["schemas"]["NameCount"][];
        };
        /** @description One interface: protocol name → counters. Frames that are in no flow stand under `not_in_flows`, by reason. */
        InterfaceTraffic: {
            /** @description Reason → frames that are in no flow (ARP, malformed, …). Bytes are link-layer bytes. */
            not_in_flows: {
                [key: string]: components["schemas"]["TrafficCell"];
            };
            /** @description Protocol → counters. */
            protocols: {
                [key: string]: components["schemas"]["TrafficCell"];
            };
            /** @description All protocols together. */
            total: components["schemas"]["TrafficCell"];
        };
        /** @description Load of one interface, from the kernel's own counters (in a replay: from the packets). */
        InterfaceUtilization: {
            /** @description Whether its packets are captured. */
            captured: boolean;
            /**
             * Format: int64
             * @description Packets the kernel dropped at this interface.
             */
            dropped: number;
            /**
             * Format: int64
             * @description Receive and transmit errors.
             */
            errors: number;
            /**
             * Format: double
             * @description Bits per second received, over the last second.
             */
            in_bits_per_second: number;
            /**
             * Format: int64
             * @description Bytes received since the interface was made.
             */
            in_bytes: number;
            /**
             * Format: int64
             * @description Of those, received ones.
             */
            in_dropped: number;
            /**
             * Format: int64
             * @description Of those, receive errors.
             */
            in_errors: number;
            /**
             * Format: int64
             * @description Packets received.
             */
            in_packets: number;
            /**
             * Format: double
             * @description Packets per second received.
             */
            in_packets_per_second: number;
            /**
             * Format: double
             * @description Bits per second sent.
             */
            out_bits_per_second: number;
            /**
             * Format: int64
             * @description Bytes sent.
             */
            out_bytes: number;
            /**
             * Format: int64
             * @description Packets sent.
             */
            out_packets: number;
            /**
             * Format: double
             * @description Packets per second sent.
             */
            out_packets_per_second: number;
            /**
             * Format: int64
             * @description Link speed, bits per second; absent where the driver does not say.
             */
            speed_bits_per_second?: number | null;
            /** @description Up and with carrier. */
            up: boolean;
            /**
             * Format: double
             * @description The busier direction's share of the link speed, 0–1; absent without a speed.
             */
            utilization?: number | null;
        };
        /** @description An invitation that was issued. Its line is shown once and never again. */
        InvitationIssued: {
            /** @description What else there is to know of it. */
            invitation: components["schemas"]["InvitationView"];
            /** @description One line of text, for `hivewall cluster join`. It is a secret. */
            line: string;
        };
        /** @description Invitations of this host, the latest first (`GET /api/v1/fleet/invitations`). */
        InvitationPage: {
            /** @description All that are remembered. */
            invitations: components["schemas"]["InvitationView"][];
            /** @description When it was answered, RFC 3339, UTC. */
            time: string;
        };
        /** @description An invitation to issue (`POST /api/v1/fleet/invitations`). */
        InvitationRequest: {
            /** @description Addresses with ports where a host that joins reaches this one; those it advertises when empty. */
            addresses?: string[];
            /** @description Whether hosts that use it may issue invitations themselves. */
            enroller?: boolean;
            /** @description Labels that hosts which use it are given unless they have their own. */
            labels?: {
                [key: string]: string;
            };
            /** @description What it is for; for people. */
            note?: string;
            /** @description How long it holds, as `1h`; a day when absent. */
            ttl?: string | null;
            /**
             * Format: int32
             * @description How many hosts may use it; 1 when absent.
             */
            uses?: number | null;
        };
        /** @description An invitation, without its secret. */
        InvitationView: {
            /** @description Whether hosts that use it may issue invitations themselves. */
            enroller: boolean;
            /** @description Until when it holds, RFC 3339, UTC. */
            expires: string;
            /** @description Its id, by which it is withdrawn. */
            id: string;
            /** @description When it was issued, RFC 3339, UTC. */
            issued?: string | null;
            /** @description Labels that it gives. */
            labels?: {
                [key: string]: string;
            };
            /** @description What it is for. */
            note?: string;
            /** @description `open`, `used_up`, `expired` or `withdrawn`. */
            state: string;
            /**
             * Format: int32
             * @description How many did.
             */
            used: number;
            /**
             * Format: int32
             * @description How many hosts may use it.
             */
            uses: number;
        };
        /** @description An invitation to withdraw (`DELETE /api/v1/fleet/invitations`). */
        InvitationWithdrawal: {
            /** @description Its id. */
            id: string;
        };
        /** @description Data of a `lagged` event: the subscriber read too slowly. */
        Lagged: {
            /**
             * Format: int64
             * @description Closed flows it missed, matching or not.
             */
            missed: number;
        };
        /** @description How long something took, over all since the start. Zeros while `samples` is 0. */
        Latency: {
            /**
             * Format: double
             * @description Greatest, seconds.
             */
            max_seconds: number;
            /**
             * Format: double
             * @description Half of them took at most so long (to a factor of √2), seconds.
             */
            median_seconds: number;
            /**
             * Format: double
             * @description Least, seconds.
             */
            min_seconds: number;
            /**
             * Format: double
             * @description 95 of 100 took at most so long (to a factor of √2), seconds.
             */
            p95_seconds: number;
            /**
             * Format: int64
             * @description How many were measured.
             */
            samples: number;
            /**
             * Format: double
             * @description Sum of all, seconds.
             */
            sum_seconds: number;
        };
        /** @description What the link between two hosts is like, timed by the link's own messages. */
        LinkView: {
            /** @description Its name. */
            from: string;
            /** @description Id of the host that timed it. */
            from_id: string;
            /**
             * Format: int64
             * @description Milliseconds since the other was last heard.
             */
            heard_ms: number;
            /** @description `quic` or `noise`. */
            how: string;
            /**
             * Format: double
             * @description Jitter (mean deviation of round trips), seconds.
             */
            jitter_seconds: number;
            /**
             * Format: double
             * @description Share of probes without an answer, 0 to 1.
             */
            loss: number;
            /**
             * Format: double
             * @description Smoothed round-trip time, seconds.
             */
            rtt_seconds: number;
            /** @description Its name. */
            to: string;
            /** @description Id of the other. */
            to_id: string;
        };
        /** @description A login: a user and password, or a one-time code, or a token. */
        LoginRequest: {
            /** @description What `hivewall login` printed. */
            code?: string | null;
            /** @description Their password. */
            password?: string | null;
            /** @description A user's token, or the host's. */
            token?: string | null;
            /** @description Name of the user. */
            user?: string | null;
        };
        /** @description What was not seen or not kept for one reason. */
        Loss: {
            /**
             * Format: int64
             * @description Bytes in them, where that is known.
             */
            bytes: number;
            /**
             * Format: int64
             * @description Events (records, rows or flows, as `meaning` says).
             */
            count: number;
            /** @description What was lost and what it means. */
            meaning: string;
            /**
             * Format: int64
             * @description Packets in them, where that is known.
             */
            packets: number;
        };
        /** @description Members by state. */
        MemberCounts: {
            /**
             * Format: int64
             * @description Those that answer.
             */
            alive: number;
            /**
             * Format: int64
             * @description Those taken for dead.
             */
            down: number;
            /**
             * Format: int64
             * @description Those that said that they go.
             */
            left: number;
            /**
             * Format: int64
             * @description Those whose certificates were revoked.
             */
            revoked: number;
            /**
             * Format: int64
             * @description Those that may be dead.
             */
            suspect: number;
        };
        /** @description Members of the fleet, those that are not alive first, then by name (`GET /api/v1/fleet/members`). */
        MemberPage: {
            /** @description Members on this page. */
            members: components["schemas"]["MemberView"][];
            /**
             * Format: int64
             * @description Offset of the next page; absent on the last.
             */
            next_offset?: number | null;
            /** @description Members by state, all of them. */
            states: components["schemas"]["MemberCounts"];
            /** @description When it was answered, RFC 3339, UTC. */
            time: string;
        };
        /**
         * @description What a host is to the fleet.
         * @enum {string}
         */
        MemberState: "alive" | "suspect" | "down" | "left" | "revoked";
        /** @description One host of the fleet. */
        MemberView: {
            /** @description Where it can be reached: addresses with ports. */
            addresses: string[];
            /** @description Version of its agent; empty while its record is not known. */
            agent: string;
            /** @description `battery`, `enroller`. */
            flags?: string[];
            /** @description Its id: 32 hexadecimal digits, from the hash of its key. */
            id: string;
            /** @description Whether it is the host that tells. */
            is_self: boolean;
            /** @description Its labels. */
            labels: {
                [key: string]: string;
            };
            /** @description Its name, as it gives it; empty while its record is not known. */
            name: string;
            /** @description What it does about the fleet's policy. */
            policy: components["schemas"]["PolicyStand"];
            /**
             * Format: int32
             * @description Highest version of the protocol that it speaks.
             */
            protocol: number;
            /** @description Since when, RFC 3339, UTC. */
            since?: string | null;
            /** @description What it is to the fleet. */
            state: components["schemas"]["MemberState"];
        };
        /** @description Alerts that somebody wants to hear nothing of. */
        Mute: {
            /** @description How silent. */
            action: components["schemas"]["MuteAction"];
            /** @description Who. */
            by: string;
            /**
             * Format: int64
             * @description Signs it kept silent since the agent began.
             */
            hits: number;
            /** @description Its name for commands. */
            id: string;
            /** @description Why. */
            note?: string;
            /** @description Which alerts. */
            of: components["schemas"]["MuteMatch"];
            /** @description Since when, RFC 3339. */
            since: string;
            /** @description Until when, RFC 3339; for good when absent. */
            until?: string | null;
        };
        /**
         * @description How silent.
         * @enum {string}
         */
        MuteAction: "silence" | "exclude";
        /** @description What a mute keeps silent: everything in it that is set has to agree. */
        MuteMatch: {
            /** @description The detector. */
            detector?: string | null;
            /**
             * Format: int32
             * @description The port that was called.
             */
            port?: number | null;
            /** @description An address or a prefix that holds the source. */
            source?: string | null;
            /** @description What else makes it this alert and no other: a domain, a process, a MAC. */
            subject?: string | null;
            /** @description An address or a prefix that holds a target. */
            target?: string | null;
        };
        /** @description What is muted. */
        MutePage: {
            /** @description In the order they were made. */
            mutes: components["schemas"]["Mute"][];
        };
        /** @description To hear no more of something (`POST /api/v1/alerts/mutes`): of what an alert is about, or of what is named. */
        MuteRequest: {
            /** @description How silent. */
            action?: components["schemas"]["MuteAction"];
            /** @description An alert whose detector, source, port and subject are meant. */
            alert?: string | null;
            /** @description Who says so; the caller's address when absent. */
            by?: string | null;
            /** @description How long, such as `2h`; for good when absent. */
            for?: string | null;
            /** @description Why. */
            note?: string;
            of?: components["schemas"]["MuteMatch"] | null;
        };
        /** @description A name and how often it was seen. */
        NameCount: {
            /**
             * Format: int64
             * @description How often.
             */
            count: number;
            /** @description The name. */
            name: string;
        };
        /** @description What one host of the fleet has of it. */
        OwnerEvidence: {
            /**
             * Format: int64
             * @description IP bytes of those.
             */
            bytes: number;
            /** @description Numbers of those, at that host. */
            flow_ids: number[];
            /**
             * Format: int64
             * @description Flows of the last hour that match.
             */
            flows: number;
            /** @description Its name. */
            host: string;
            /**
             * Format: int64
             * @description Packets of the latest 8 of them.
             */
            packets: number;
        };
        /** @description What hosts of the fleet have of an alert that no host sees alone. */
        OwnersEvidence: {
            /** @description Who answered, of the hosts that saw it. */
            answer: components["schemas"]["FleetAnswer"];
            /** @description What each of those has. */
            owners: components["schemas"]["OwnerEvidence"][];
        };
        /** @description Another password. */
        PasswordRequest: {
            /** @description The present one, which one's own is changed with. */
            current?: string | null;
            /** @description Whose; absent for one's own. */
            name?: string | null;
            /** @description The new one. */
            password: string;
        };
        /** @description Round-trip time to one peer, from handshakes, answers and sockets of all flows with it. */
        PeerLatency: {
            /**
             * Format: double
             * @description Jitter (RFC 3550 §6.4.1), seconds.
             */
            jitter_seconds: number;
            /**
             * Format: double
             * @description Latest, seconds.
             */
            last_seconds: number;
            /**
             * Format: double
             * @description Greatest, seconds.
             */
            max_seconds: number;
            /**
             * Format: double
             * @description Least, seconds.
             */
            min_seconds: number;
            /**
             * Format: int64
             * @description Samples.
             */
            samples: number;
            /**
             * Format: double
             * @description Smoothed (a new sample counts for one eighth), seconds.
             */
            smoothed_seconds: number;
        };
        /** @description A change that is taken back unless it is confirmed over a new connection. */
        PendingChange: {
            falls_back_to?: components["schemas"]["PolicyName"] | null;
            /**
             * Format: double
             * @description Seconds left to confirm it.
             */
            seconds_left: number;
        };
        /** @description What one interface saw of one direction of a flow. */
        PointRow: {
            /**
             * Format: int64
             * @description IP bytes.
             */
            bytes: number;
            /** @description `ingress` or `egress`. */
            direction: string;
            /** @description Interface name. */
            interface: string;
            /**
             * Format: int64
             * @description Packets.
             */
            packets: number;
            /** @description True for packets from the client. */
            to_server: boolean;
            /** @description The tunnel the packets were inside of. */
            tunnel?: string | null;
            /**
             * Format: int64
             * @description Link-layer bytes.
             */
            wire_bytes: number;
        };
        /** @description What is wrong with a document (`POST /api/v1/policy/check`). */
        PolicyCheck: {
            /**
             * Format: int64
             * @description Problems beyond those.
             */
            left_out: number;
            policy?: components["schemas"]["PolicyName"] | null;
            /** @description Everything that is wrong, in the order of the text. */
            problems: components["schemas"]["PolicyFault"][];
            /** @description Whether it carries signatures. Whether they are good is found out when it is applied. */
            signed: boolean;
            /** @description Whether it can be taken; warnings do not stand against it. */
            sound: boolean;
        };
        /** @description One thing that changes. */
        PolicyDifference: {
            /** @description As it is; absent when it is not there any more. */
            after?: string | null;
            /** @description As it was, as JSON (which is YAML, too) in one line; absent when it was not there. */
            before?: string | null;
            /** @description Its name: a rule's id, a set's name, a key. */
            id: string;
            /** @description `added`, `removed`, `changed` or `moved`. */
            kind: string;
            /** @description Tier of a rule. */
            tier?: string | null;
            /** @description `setting`, `default`, `tier`, `set` or `rule`. */
            what: string;
        };
        /** @description What changes from the policy in force to a document (`POST /api/v1/policy/diff`). */
        PolicyDifferences: {
            /** @description What changes: settings first, then defaults, tiers, sets and rules. */
            changes: components["schemas"]["PolicyDifference"][];
            from?: components["schemas"]["PolicyName"] | null;
            /** @description Whether both mean the same; another version alone is no difference in meaning. */
            same: boolean;
            /** @description The document. */
            to: components["schemas"]["PolicyName"];
        };
        /** @description Something about the policy that is wrong now. */
        PolicyFailure: {
            /** @description What is wrong and what to do, for people. */
            detail: string;
            /** @description `not_enforced`, `not_kept`, `expired`, `table_full`, `no_front`, `not_repaired`, `bans`, or `enforcer`. */
            kind: string;
            /** @description The table or the interface, where the kind is about one. */
            subject?: string | null;
        };
        /** @description One thing that is wrong with a document. */
        PolicyFault: {
            /**
             * Format: int32
             * @description Column, from 1, in characters.
             */
            column: number;
            /**
             * Format: int32
             * @description Characters that are meant; 0 for a place between two.
             */
            length: number;
            /**
             * Format: int32
             * @description Line, from 1; 0 for what stands nowhere in the text.
             */
            line: number;
            /** @description What it is and what to write instead. */
            message: string;
            /** @description `error`, `warning` or `note`. */
            severity: string;
        };
        /** @description A key that policies are signed with. */
        PolicyKey: {
            /** @description Its id: 16 hexadecimal digits, as in `signed_by`. */
            id: string;
            /** @description What its holder calls it. */
            name: string;
        };
        /** @description A document by name and version. */
        PolicyName: {
            /** @description Its name. */
            name: string;
            /**
             * Format: int64
             * @description Its version.
             */
            version: number;
        };
        /** @description What a command did. */
        PolicyOutcome: {
            /**
             * Format: int32
             * @description Number of the change that is in force.
             */
            epoch: number;
            /** @description One sentence for people. */
            message: string;
            pending?: components["schemas"]["PendingChange"] | null;
            /** @description What holds now. */
            policy: components["schemas"]["PolicyName"];
        };
        /** @description The policy and its text (`GET /api/v1/policy`). */
        PolicyPage: {
            /** @description The document in force, as it was given; absent without one. */
            document?: string | null;
            /** @description What holds. */
            policy: components["schemas"]["PolicyView"];
            /** @description When it was taken, RFC 3339, UTC. */
            time: string;
        };
        /** @description What a host does about a policy. */
        PolicyStand: {
            /** @description Why it refused it; empty otherwise. */
            reason?: string;
            /** @description What it does. */
            stand: components["schemas"]["StandKind"];
            /**
             * Format: int64
             * @description The version it speaks of; 0 when nothing is known.
             */
            version: number;
        };
        /** @description What holders of keys sign (`POST /api/v1/policy/statement`). */
        PolicyStatement: {
            /** @description SHA-256 of it, hexadecimal: what `hivewall policy sign` and `verify` print as the digest. */
            digest: string;
            /** @description What the document calls itself. */
            policy: components["schemas"]["PolicyName"];
            /** @description The version that it follows on this host, with its digest; absent for the first. */
            previous?: string | null;
            /**
             * @description Exactly what is to be signed, byte by byte. With a line `#by KEY SIGNATURE` (base64) for each signature, keys
             *     ascending, before the line `#--`, it is the signed document.
             */
            statement: string;
        };
        /** @description Whose signatures a policy needs on this host. */
        PolicyTrust: {
            /**
             * Format: int64
             * @description The highest version that was taken up; the next is above it.
             */
            highest?: number | null;
            /** @description The keys. */
            keys: components["schemas"]["PolicyKey"][];
            /**
             * Format: int64
             * @description How many of the keys have to sign.
             */
            threshold: number;
        };
        /** @description The policy in force on this host (`firewall_rules` in the snapshot). */
        PolicyView: {
            /** @description What enforces it: `ebpf`, `nftables` or `iptables`; empty when nothing does. */
            backend: string;
            /** @description Bans, the latest first, at most [`BANS_SHOWN`]. */
            bans: components["schemas"]["BanView"][];
            /**
             * Format: int64
             * @description How many bans there are.
             */
            bans_total: number;
            /** @description What decides besides rules, with its counters. */
            causes: components["schemas"]["CauseView"][];
            /**
             * Format: int64
             * @description Changes that came into force since the agent's start.
             */
            changes: number;
            /** @description Changes of the host's packet filters that others made, and our answers to them, where the policy is kept there. */
            drift?: components["schemas"]["FirewallDrift"];
            /**
             * Format: int32
             * @description Number of the change that is in force, in the datapath's own count; 0 when nothing is judged.
             */
            epoch: number;
            /** @description Of what is wrong, what makes the host less than it is meant to be as long as it lasts. */
            failures?: components["schemas"]["PolicyFailure"][];
            /**
             * Format: int64
             * @description Drops that rules asked to be logged and that were beyond their rates: counted, not written.
             */
            logs_suppressed: number;
            /** @description `enforce`, `observe`, or empty without a policy. */
            mode: string;
            /** @description Name of the document; empty without one. */
            name: string;
            /** @description Until when it is meant to hold, RFC 3339, UTC. It goes on holding after that, with a problem told. */
            not_after?: string | null;
            pending?: components["schemas"]["PendingChange"] | null;
            previous?: components["schemas"]["PolicyName"] | null;
            /** @description What an operator should know or do, one sentence each. */
            problems?: string[];
            /**
             * Format: int64
             * @description Of those, changes that were taken back because nobody confirmed them.
             */
            reverted: number;
            /** @description Its rules in order of judgement, guard and defaults among them. */
            rules: components["schemas"]["RuleView"][];
            /** @description Who signed it: ids of keys; empty for a local policy. */
            signed_by?: string[];
            /** @description When it came into force, RFC 3339, UTC. */
            since?: string | null;
            /** @description `none`, `active`, or `pending` while a change waits to be confirmed. */
            state: string;
            /** @description Table of the datapath → how full it is. */
            tables: {
                [key: string]: components["schemas"]["TableFill"];
            };
            trust?: components["schemas"]["PolicyTrust"] | null;
            /**
             * Format: int64
             * @description Version of the document.
             */
            version: number;
        };
        /** @description What was wrong with a request, and what to do about it. */
        Problem: {
            /** @description What was wrong, for people. */
            detail: string;
            /** @description A fixed word for programs, such as `bad_filter` or `unknown_parameter`. */
            error: string;
            /** @description What to do next, for people. */
            hint: string;
            /**
             * Format: int64
             * @description Where in the filter's text, in bytes from its start; absent when the problem is not in a filter.
             */
            position?: number | null;
        };
        /** @description Traffic of one process. Bytes and packets are those of its flows, each packet once. */
        ProcessTraffic: {
            /**
             * Format: int64
             * @description Flows that live now.
             */
            active_flows: number;
            /** @description Path of the cgroup. */
            cgroup?: string | null;
            /** @description Container: name, or id. */
            container?: string | null;
            /** @description Path of the executable. */
            executable?: string | null;
            /**
             * Format: int64
             * @description Flows since it was first seen.
             */
            flows: number;
            /**
             * Format: int32
             * @description Process id; 0 stands for all processes that are no longer kept apart (`process` is `(other)`), and for traffic
             *     of this host whose process is not known (`(unknown)`).
             */
            pid: number;
            /** @description Command name. */
            process: string;
            /**
             * Format: double
             * @description IP bits per second received.
             */
            received_bits_per_second: number;
            /**
             * Format: int64
             * @description IP bytes received.
             */
            received_bytes: number;
            /**
             * Format: int64
             * @description Packets received.
             */
            received_packets: number;
            /**
             * Format: double
             * @description IP bits per second sent, over the last second.
             */
            sent_bits_per_second: number;
            /**
             * Format: int64
             * @description IP bytes sent since it was first seen.
             */
            sent_bytes: number;
            /**
             * Format: int64
             * @description Packets sent.
             */
            sent_packets: number;
            /** @description User name, or number where there is no name. */
            user?: string | null;
        };
        /** @description One protocol over the whole host, each packet once. */
        ProtocolTraffic: {
            /**
             * Format: int64
             * @description Flows that live now.
             */
            active_flows: number;
            /**
             * Format: double
             * @description IP bits per second over the last second.
             */
            bits_per_second: number;
            /**
             * Format: int64
             * @description IP bytes.
             */
            bytes: number;
            /**
             * Format: int64
             * @description Packets.
             */
            packets: number;
        };
        /** @description What one rule or cause refused. */
        RefusedByRule: {
            /** @description True for a cause that is no rule. */
            is_cause: boolean;
            /** @description What. */
            refused: components["schemas"]["RefusedCell"];
            /** @description The rule's id, or the label of a cause that is no rule. */
            rule: string;
        };
        /** @description What was refused where it was received and where it would have been sent. Bytes are IP bytes. */
        RefusedCell: {
            /**
             * Format: int64
             * @description Their bytes.
             */
            in_bytes: number;
            /**
             * Format: int64
             * @description Packets dropped on their way in.
             */
            in_packets: number;
            /**
             * Format: int64
             * @description Their bytes.
             */
            observed_in_bytes: number;
            /**
             * Format: int64
             * @description Packets that would have been dropped on their way in, and passed because the policy only observes.
             */
            observed_in_packets: number;
            /**
             * Format: int64
             * @description Their bytes.
             */
            observed_out_bytes: number;
            /**
             * Format: int64
             * @description Packets that would have been dropped on their way out.
             */
            observed_out_packets: number;
            /**
             * Format: int64
             * @description Their bytes.
             */
            out_bytes: number;
            /**
             * Format: int64
             * @description Packets dropped on their way out.
             */
            out_packets: number;
        };
        /** @description A host that refused a policy. */
        RefusedHost: {
            /** @description Its id. */
            id: string;
            /** @description Its name. */
            name: string;
            /** @description Why, in its own words. */
            reason: string;
        };
        /**
         * @description What was refused, since the agent's start. Traffic counted elsewhere is what was seen; this much of it was not let
         *     through.
         */
        RefusedTraffic: {
            /** @description Interface → what was refused there. */
            interfaces: {
                [key: string]: components["schemas"]["RefusedCell"];
            };
            /** @description By rule or cause, most packets first. */
            rules: components["schemas"]["RefusedByRule"][];
            /** @description Over all interfaces. */
            total: components["schemas"]["RefusedCell"];
        };
        /** @description What a policy would have done to recorded flows. */
        Rehearsal: {
            compared_with?: components["schemas"]["PolicyName"] | null;
            /** @description Start of the earliest flow looked at, RFC 3339, UTC. */
            from?: string | null;
            /** @description The host's guard: whether it was counted in, and what it alone saves. */
            guard: components["schemas"]["RehearsalGuard"];
            /** @description Flows that cannot be judged, by reason. */
            left_out: components["schemas"]["RehearsalCut"][];
            newly_accepted?: components["schemas"]["RehearsalSum"] | null;
            newly_refused?: components["schemas"]["RehearsalSum"] | null;
            /** @description The policy that was tried. */
            policy: components["schemas"]["PolicyName"];
            /** @description What it would refuse. */
            refused: components["schemas"]["RehearsalSum"];
            /** @description Rules that decide about a flow at least, in the order of judgement. */
            rules: components["schemas"]["RehearsalRule"][];
            /** @description All that was judged. */
            seen: components["schemas"]["RehearsalSum"];
            /** @description End of the latest. */
            to?: string | null;
            /** @description Rules that decide about none. */
            unused: string[];
        };
        /** @description Somebody or something with its share. */
        RehearsalCut: {
            /** @description Address at the other end with its name and service, name of a process, or a reason. */
            name: string;
            /** @description How much. */
            sum: components["schemas"]["RehearsalSum"];
        };
        /** @description The host's guard in a rehearsal: its management, sessions, floor and exemptions, which no document can take away. */
        RehearsalGuard: {
            /**
             * Format: int64
             * @description How many rules of it were counted in; 0 when it was left out, or the host declares nothing.
             */
            rules: number;
            /** @description What the document would refuse and the guard lets pass. */
            saved: components["schemas"]["RehearsalSum"];
            /** @description By rule of the guard and rule of the document, most flows first. */
            saves: components["schemas"]["RehearsalSaved"][];
        };
        /** @description What one rule would do. */
        RehearsalRule: {
            /** @description What it says. */
            action: string;
            changed?: components["schemas"]["RehearsalSum"] | null;
            /** @description What it decides. */
            decided: components["schemas"]["RehearsalSum"];
            /**
             * Format: int32
             * @description Its line of the document; absent where it is in none.
             */
            line?: number | null;
            /** @description Whom it cuts, most flows first. Where there is a policy to compare with: whom it cuts that passes under that. */
            peers: components["schemas"]["RehearsalCut"][];
            /** @description Processes of this host that it cuts, likewise. */
            processes: components["schemas"]["RehearsalCut"][];
            /** @description Its id; in parentheses where no rule decided. */
            rule: string;
        };
        /** @description Flows that a rule of the document would refuse, were it not for one of the guard. */
        RehearsalSaved: {
            /** @description The rule of the guard. */
            guard: string;
            /** @description Whose flows they are, most first. */
            peers: components["schemas"]["RehearsalCut"][];
            /** @description The rule of the document that would refuse them. */
            rule: string;
            /** @description How much. */
            sum: components["schemas"]["RehearsalSum"];
        };
        /** @description Flows, packets, bytes, both directions. */
        RehearsalSum: {
            /**
             * Format: int64
             * @description IP bytes.
             */
            bytes: number;
            /**
             * Format: int64
             * @description Flows.
             */
            flows: number;
            /**
             * Format: int64
             * @description Packets.
             */
            packets: number;
        };
        /** @description A policy to try on recorded flows (`POST /api/v1/policy/rehearse`). */
        RehearseRequest: {
            /** @description A document to compare with instead of the policy in force. */
            current?: string | null;
            /** @description The document. */
            document: string;
            /** @description How far back, such as `7d`; `24h` when absent. */
            last?: string | null;
            /** @description Leaves out the host's own guard, floor and exemptions, so that the document alone is tried. */
            without_guard?: boolean;
        };
        /** @description A host to take out of the fleet for good (`POST /api/v1/fleet/remove`). */
        RemoveRequest: {
            /** @description Its name, its id, or the beginning of its id. */
            host: string;
            /** @description Why; for the log. */
            reason?: string;
        };
        /** @description To take an acknowledgement back (`DELETE /api/v1/alerts/acknowledge`). */
        ReopenRequest: {
            /** @description Id of the alert, or how it begins. */
            id: string;
        };
        /** @description What was done about it by itself. */
        Response: {
            /** @description `limit` or `ban`. */
            action: string;
            /** @description `done`, `refused`, `failed`, `undone` or `ended`. */
            outcome: string;
            /** @description What it holds for. */
            prefix?: string | null;
            /** @description Why, in a sentence. */
            reason: string;
            /** @description The command that undoes it. */
            undo?: string | null;
            /** @description Until when, RFC 3339. */
            until?: string | null;
        };
        /**
         * @description What somebody may do; each includes the ones before it.
         * @enum {string}
         */
        Role: "viewer" | "operator" | "admin";
        /** @description Another role. */
        RoleRequest: {
            /** @description Name of the user. */
            name: string;
            /** @description What they may do from now on. */
            role: components["schemas"]["Role"];
        };
        /** @description How the fleet's policy spreads (`GET /api/v1/fleet/policy`). */
        RolloutPage: {
            rollout?: components["schemas"]["RolloutView"] | null;
            /** @description When it was taken, RFC 3339, UTC. */
            time: string;
        };
        /** @description How a policy spreads (part of `GET /api/v1/fleet`). */
        RolloutView: {
            /**
             * Format: int64
             * @description Milliseconds since the oldest of what is told here was heard.
             */
            age_ms: number;
            /** @description Until when it waits to be confirmed, RFC 3339, UTC; hosts take it back after that. */
            confirm_until?: string | null;
            /**
             * Format: int64
             * @description Hosts that enforce it.
             */
            enforced: number;
            /** @description Two documents have this version, both validly signed: the name is frozen until a newer version comes. */
            frozen: boolean;
            /** @description BLAKE3 of it, 64 hexadecimal digits. */
            hash: string;
            /**
             * Format: int64
             * @description Hosts that have it and do not say more yet.
             */
            have: number;
            /**
             * Format: int64
             * @description Hosts that are known and alive: what the others add up to.
             */
            hosts: number;
            /** @description Name of the document. */
            name: string;
            /** @description Some of those that refused it, at most [`REFUSED_SHOWN`]. */
            refusals: components["schemas"]["RefusedHost"][];
            /**
             * Format: int64
             * @description Hosts that refused it.
             */
            refused: number;
            /**
             * Format: int64
             * @description Hosts that have not been heard of.
             */
            unknown: number;
            /**
             * Format: int64
             * @description Its version.
             */
            version: number;
        };
        /**
         * @description One rule and what it did. Counters are of packets at each hook where it decided: one that is forwarded is judged
         *     where it is received and where it is sent.
         */
        RuleView: {
            /** @description `accept`, `drop`, `reject` or `pass`. */
            action: string;
            /**
             * Format: double
             * @description IP bits a second, over the last second.
             */
            bits_per_second: number;
            /**
             * Format: int64
             * @description Their IP bytes.
             */
            bytes: number;
            /** @description What it matches, in the words of the document; empty for everything. */
            conditions: string;
            /** @description `in`, `out`, or `both`. */
            direction: string;
            /**
             * Format: int64
             * @description Flows it decided, since the agent's start.
             */
            flows: number;
            /** @description Its id. */
            id: string;
            /** @description The latest packet it decided, RFC 3339, UTC. */
            last_hit?: string | null;
            /**
             * Format: int32
             * @description The line of the document it begins on; absent for rules that are in none.
             */
            line?: number | null;
            /** @description How often its drops are logged, as the document has it; absent when they are not. */
            log?: string | null;
            /**
             * Format: int64
             * @description Packets it decided, since it was first loaded.
             */
            packets: number;
            /**
             * Format: double
             * @description Packets a second, over the last second.
             */
            packets_per_second: number;
            /** @description Where it stands: `guard`, `exempt`, or the name of its tier. */
            tier: string;
        };
        /** @description The answer: the earliest first, and points without traffic as well. */
        SeriesPage: {
            /** @description The points. */
            points: components["schemas"]["SeriesPoint"][];
            /** @description How far back what was asked is kept, RFC 3339; absent while nothing is. */
            reaches_back_to?: string | null;
            /** @description From what it was answered. */
            source: components["schemas"]["AnsweredFrom"];
            /**
             * Format: double
             * @description Seconds that one point stands for.
             */
            step_seconds: number;
            /** @description When it was answered, RFC 3339, UTC. */
            time: string;
        };
        /** @description One point of a series. */
        SeriesPoint: {
            /**
             * Format: int64
             * @description IP bytes of the flows that were seen last within its time.
             */
            bytes: number;
            /**
             * Format: int64
             * @description How many they are.
             */
            flows: number;
            /**
             * Format: int64
             * @description Their packets.
             */
            packets: number;
            /** @description Where its time begins, RFC 3339, UTC. */
            time: string;
        };
        /** @description Traffic of one server port. Ports beyond those kept apart stand under port 0. */
        ServiceTraffic: {
            /** @description What usually serves there: a guess. */
            application?: string | null;
            /**
             * Format: int64
             * @description IP bytes, each packet once.
             */
            bytes: number;
            /**
             * Format: int64
             * @description Flows since the start.
             */
            flows: number;
            /**
             * Format: int64
             * @description Packets.
             */
            packets: number;
            /**
             * Format: int32
             * @description Server's port.
             */
            port: number;
            /** @description Protocol. */
            protocol: string;
        };
        /** @description Who asks, and what they need to. */
        SessionView: {
            /** @description What commands that a cookie authorises have to carry as `X-Hivewall-CSRF`. */
            csrf?: string | null;
            /** @description When the session ends at the latest, RFC 3339, UTC. */
            expires?: string | null;
            /** @description Whether there are users who could log in. */
            has_users: boolean;
            how?: components["schemas"]["How"] | null;
            /** @description Whether nothing can be read without a login. */
            login_required: boolean;
            role?: components["schemas"]["Role"] | null;
            /** @description Whether the agent is spoken to over TLS. */
            tls: boolean;
            /** @description The user; null when nobody is logged in. */
            user?: string | null;
        };
        /**
         * @description How bad it is.
         * @enum {string}
         */
        Severity: "info" | "low" | "medium" | "high" | "critical";
        /** @description The snapshot document (`hivewall snapshot`, `GET /api/v1/snapshot`). */
        Snapshot: {
            /** @description What the agent costs. */
            agent: components["schemas"]["AgentCost"];
            /** @description What detectors found: counts, and the latest alerts in full. */
            alerts?: components["schemas"]["AlertSummary"];
            /** @description Application protocol → traffic. */
            applications: {
                [key: string]: components["schemas"]["ApplicationTraffic"];
            };
            /** @description How flows are tied to processes. */
            attribution: components["schemas"]["Attribution"];
            /** @description Where packets come from. */
            capture: components["schemas"]["CaptureInfo"];
            /** @description TCP state → flows in it now. */
            connection_states: {
                [key: string]: number;
            };
            /** @description DNS. */
            dns_queries: components["schemas"]["DnsSummary"];
            /** @description The policy in force: its rules with their counters, bans, what waits to be confirmed. */
            firewall_rules?: components["schemas"]["PolicyView"];
            /** @description How many flows there are and were. */
            flow_counts: components["schemas"]["FlowCounts"];
            /** @description Collectors that flows are exported to. */
            flow_export?: components["schemas"]["ExportRow"][];
            /** @description The largest flows by bytes, living and lately closed; ask `/api/v1/flows` for the rest. */
            flows: components["schemas"]["FlowRow"][];
            /** @description Targets with most incomplete connections. */
            half_open_targets: components["schemas"]["HalfOpenTarget"][];
            /** @description What history is kept. */
            history: components["schemas"]["HistoryInfo"];
            /** @description The host and the agent on it. */
            host: components["schemas"]["HostInfo"];
            /** @description HTTP/1.x in the clear. */
            http_requests: components["schemas"]["HttpSummary"];
            /** @description Interface → load. */
            interface_utilization: {
                [key: string]: components["schemas"]["InterfaceUtilization"];
            };
            /** @description How exact `ip_traffic_distribution` is. */
            ip_traffic_accuracy: components["schemas"]["TrafficAccuracy"];
            /** @description Address → traffic, each packet once. The busiest by bytes; the rest is in `other`. */
            ip_traffic_distribution: {
                [key: string]: components["schemas"]["AddressTraffic"];
            };
            /** @description Peer → jitter, seconds; the same peers. */
            jitter: {
                [key: string]: number;
            };
            /** @description Packets the kernel dropped, by reason, interface and protocol, most first. */
            kernel_drops: components["schemas"]["DropRow"][];
            /** @description Peer → round-trip time: those with most samples. */
            latency: {
                [key: string]: components["schemas"]["PeerLatency"];
            };
            /** @description Everything not seen or not kept, by reason. All of it; an absent reason is one that cannot happen here. */
            losses: {
                [key: string]: components["schemas"]["Loss"];
            };
            /** @description Interface → protocol → counters, as each interface saw them. A packet that crosses two interfaces is in both. */
            network_traffic: {
                [key: string]: components["schemas"]["InterfaceTraffic"];
            };
            /** @description Traffic of conversations opened by this host, by destination address: the busiest, the rest is in `other`. */
            outbound_traffic: {
                [key: string]: components["schemas"]["AddressTraffic"];
            };
            /** @description Processes of this host by traffic: the busiest, then what is left. */
            processes: components["schemas"]["ProcessTraffic"][];
            /** @description Protocol → traffic of the whole host, each packet once. */
            protocols: {
                [key: string]: components["schemas"]["ProtocolTraffic"];
            };
            /** @description What was refused by the policy. Traffic elsewhere in this document is what was seen; this much of it did not pass. */
            refused?: components["schemas"]["RefusedTraffic"];
            /** @description Detector → alerts since the agent began (in a replay: in the capture), those above `info`. */
            security_alerts: {
                [key: string]: number;
            };
            /** @description Server ports by traffic, busiest first. */
            services: components["schemas"]["ServiceTraffic"][];
            /** @description This host's sockets. */
            sockets: components["schemas"]["SocketSummary"];
            /** @description Configured prefix → traffic, each packet once. */
            subnet_traffic: {
                [key: string]: components["schemas"]["AddressTraffic"];
            };
            /** @description What looks wrong. */
            suspicious_traffic: components["schemas"]["SuspiciousTraffic"];
            system?: components["schemas"]["SystemLoad"] | null;
            /** @description When it was taken, RFC 3339, UTC (virtual time in a replay). */
            time: string;
            /** @description TLS and QUIC handshakes. */
            tls_handshakes: components["schemas"]["TlsSummary"];
            /** @description Busiest addresses over the last seconds, by IP bits per second. */
            top_talkers: components["schemas"]["TopTalker"][];
        };
        /** @description This host's sockets, as the kernel has them. */
        SocketSummary: {
            /**
             * Format: int64
             * @description Segments that local TCP sockets sent again, since the start, over flows that were seen.
             */
            retransmits: number;
            /** @description State → TCP sockets. */
            tcp: {
                [key: string]: components["schemas"]["FamilyCount"];
            };
            /** @description `FROM>TO` → transitions of TCP sockets since the start. */
            transitions: {
                [key: string]: number;
            };
            /** @description UDP sockets. */
            udp: components["schemas"]["FamilyCount"];
        };
        /**
         * @description What a host does about a policy, in a word.
         * @enum {string}
         */
        StandKind: "unknown" | "have" | "enforced" | "refused";
        /** @description What looks wrong. */
        SuspiciousTraffic: {
            /**
             * Format: int64
             * @description Failed logins: as the host's own logs tell of them, and as many as sessions of guessing look like.
             */
            failed_login_attempts?: number;
            /**
             * Format: int64
             * @description Alerts of other floods and amplification.
             */
            floods?: number;
            /**
             * Format: int64
             * @description TCP flows whose handshake is not complete: SYN sent, or answered and not confirmed.
             */
            half_open: number;
            /** @description The same, by reason. */
            invalid_by_reason: {
                [key: string]: number;
            };
            /**
             * Format: int64
             * @description Frames that break a standard.
             */
            invalid_packets: number;
            /**
             * Format: int64
             * @description Alerts of port scans and sweeps.
             */
            port_scans?: number;
            /**
             * Format: int64
             * @description Alerts of SYN floods.
             */
            syn_floods?: number;
        };
        /** @description How busy the host is. Shares are of all CPUs together, 0–1, over the last second. */
        SystemLoad: {
            conntrack?: components["schemas"]["ConntrackFill"] | null;
            /** @description Mode (`user`, `system`, `interrupt`, `steal`, `iowait`, `idle`) → share of CPU time. */
            cpu_modes: {
                [key: string]: number;
            };
            /** @description Mode → CPU seconds since boot. */
            cpu_seconds: {
                [key: string]: number;
            };
            /**
             * Format: double
             * @description Share of CPU time not idle and not waiting for disks.
             */
            cpu_utilization: number;
            /**
             * Format: int32
             * @description CPUs online.
             */
            cpus: number;
            /** @description Disk → load. */
            disks: {
                [key: string]: components["schemas"]["DiskLoad"];
            };
            /** @description Mount point → fill. */
            filesystems: {
                [key: string]: components["schemas"]["FilesystemFill"];
            };
            /** @description Load averages over 1, 5 and 15 minutes. */
            load_average: number[];
            /**
             * Format: int64
             * @description Bytes programs could still get.
             */
            memory_available_bytes: number;
            /**
             * Format: int64
             * @description Bytes of memory.
             */
            memory_bytes: number;
            /**
             * Format: int64
             * @description Processes that exist.
             */
            processes: number;
            /**
             * Format: int64
             * @description Bytes of swap.
             */
            swap_bytes: number;
            /**
             * Format: int64
             * @description Bytes of swap in use.
             */
            swap_used_bytes: number;
            /**
             * Format: double
             * @description Seconds since boot.
             */
            uptime_seconds: number;
        };
        /** @description How full a table is. One that is full refuses what is new. */
        TableFill: {
            /**
             * Format: int64
             * @description Entries there are.
             */
            entries: number;
            /**
             * Format: int64
             * @description Most there can be.
             */
            limit: number;
            /**
             * Format: int64
             * @description Entries that found no room, since the table was made.
             */
            refused?: number;
        };
        /** @description A technique of MITRE ATT&CK. */
        Technique: {
            /** @description `T1046`. */
            id: string;
            /** @description `Network Service Discovery`. */
            name: string;
            /** @description `Discovery`. */
            tactic: string;
        };
        /** @description TLS and QUIC handshakes. */
        TlsSummary: {
            /**
             * Format: int64
             * @description ClientHellos over TCP.
             */
            hellos: number;
            /**
             * Format: int64
             * @description ClientHellos in QUIC.
             */
            quic_hellos: number;
            /** @description JA4 fingerprints seen most often. */
            top_ja4: components["schemas"]["NameCount"][];
            /** @description Server names asked for most often. */
            top_names: components["schemas"]["NameCount"][];
            /** @description Greatest version offered → hellos. */
            versions: {
                [key: string]: number;
            };
        };
        /** @description A token, shown only now. */
        TokenIssued: {
            /** @description What it is taken away by. */
            id: string;
            /** @description The token. */
            token: string;
        };
        /** @description A token that is meant. */
        TokenNamed: {
            /** @description Id of the token. */
            id: string;
            /** @description Name of the user. */
            name: string;
        };
        /** @description A new token. */
        TokenRequest: {
            /** @description What it is for. */
            label: string;
            /** @description Name of the user. */
            name: string;
        };
        /** @description A token of a user, without what it is. */
        TokenView: {
            /** @description Since when, RFC 3339, UTC. */
            created: string;
            /** @description What it is taken away by. */
            id: string;
            /** @description What it is for. */
            label: string;
            /** @description When it was shown last, RFC 3339, UTC, to a few minutes; null when never. */
            last_used?: string | null;
        };
        /**
         * @description What a top list adds up by.
         * @enum {string}
         */
        TopBy: "source" | "destination" | "address" | "service" | "process" | "protocol";
        /** @description The answer: the most bytes first. */
        TopPage: {
            /** @description What rows were added up by. */
            by: components["schemas"]["TopBy"];
            /** @description How far back what was asked is kept, RFC 3339; absent while nothing is. */
            reaches_back_to?: string | null;
            /** @description The rows. */
            rows: components["schemas"]["TopRow"][];
            /** @description From what it was answered. */
            source: components["schemas"]["AnsweredFrom"];
            /** @description When it was answered, RFC 3339, UTC. */
            time: string;
        };
        /** @description One row of a top list. */
        TopRow: {
            /**
             * Format: int64
             * @description IP bytes, both directions.
             */
            bytes: number;
            /**
             * Format: int64
             * @description Flows.
             */
            flows: number;
            /** @description Address, service, process or protocol; empty where a flow has none. */
            key: string;
            /**
             * Format: int64
             * @description Packets, both directions.
             */
            packets: number;
        };
        /** @description An address that moves much. */
        TopTalker: {
            /** @description Address. */
            address: string;
            /**
             * Format: double
             * @description IP bits per second, sent and received.
             */
            bits_per_second: number;
            /**
             * Format: int64
             * @description IP bytes since the start, both ways.
             */
            bytes: number;
            /**
             * Format: double
             * @description IP bits per second received.
             */
            received_bits_per_second: number;
            /**
             * Format: double
             * @description IP bits per second sent.
             */
            sent_bits_per_second: number;
        };
        /** @description How exact a bounded table is. */
        TrafficAccuracy: {
            /**
             * Format: int64
             * @description No address's bytes are understated by more than this.
             */
            error_bytes_max: number;
            /** @description True while every address has been counted from its first packet. */
            exact: boolean;
            /**
             * Format: int64
             * @description Times a quiet address was folded into `other` to make room.
             */
            folded: number;
            /**
             * Format: int64
             * @description Most that are kept.
             */
            limit: number;
            /**
             * Format: int64
             * @description Addresses kept in memory.
             */
            tracked: number;
        };
        /** @description Counters of one protocol at one interface. */
        TrafficCell: {
            /**
             * Format: int64
             * @description IP bytes received.
             */
            in_bytes: number;
            /**
             * Format: int64
             * @description Packets received.
             */
            in_packets: number;
            /**
             * Format: int64
             * @description Link-layer bytes received.
             */
            in_wire_bytes: number;
            /**
             * Format: int64
             * @description IP bytes sent.
             */
            out_bytes: number;
            /**
             * Format: int64
             * @description Packets sent.
             */
            out_packets: number;
            /**
             * Format: int64
             * @description Link-layer bytes sent.
             */
            out_wire_bytes: number;
        };
        /** @description Something that somebody did or tried to do. */
        TrailEntry: {
            /** @description What it was about, for people. */
            detail: string;
            /** @description Method of the request. */
            method: string;
            /** @description Its path. */
            path: string;
            /** @description Address they came from. */
            peer: string;
            role?: components["schemas"]["Role"] | null;
            /**
             * Format: int32
             * @description Status code of the answer.
             */
            status: number;
            /** @description When, RFC 3339, UTC. */
            time: string;
            /** @description Who; null when that is not known. Of a failed login, whom they said they were, if there is such a user. */
            user?: string | null;
        };
        /** @description The trail, the latest first. */
        TrailPage: {
            /** @description Entries. */
            entries: components["schemas"]["TrailEntry"][];
        };
        /** @description A ban to lift (`DELETE /api/v1/bans`). */
        UnbanRequest: {
            /** @description The address or prefix, as it was banned. */
            prefix: string;
        };
        /** @description To take back what was done about an alert (`POST /api/v1/alerts/undo`). */
        UndoRequest: {
            /** @description Id of the alert, or how it begins. */
            id: string;
        };
        /** @description To hear of it again (`DELETE /api/v1/alerts/mutes`). */
        UnmuteRequest: {
            /** @description Id of the mute. */
            id: string;
        };
        /** @description A user who is meant. */
        UserNamed: {
            /** @description Name. */
            name: string;
        };
        /** @description What was changed about users. */
        UserOutcome: {
            /** @description For people. */
            done: string;
        };
        /** @description All users. */
        UserPage: {
            /** @description By name. */
            users: components["schemas"]["UserView"][];
        };
        /** @description A new user. */
        UserRequest: {
            /** @description Name: letters, digits, `.`, `_`, `-` and `@`. */
            name: string;
            /** @description Their password. */
            password: string;
            /** @description What they may do. */
            role: components["schemas"]["Role"];
        };
        /** @description A user. */
        UserView: {
            /** @description Since when, RFC 3339, UTC. */
            created: string;
            /** @description When they logged in last, RFC 3339, UTC; null when never. */
            last_login?: string | null;
            /** @description Name. */
            name: string;
            /** @description What they may do. */
            role: components["schemas"]["Role"];
            /** @description Their tokens. */
            tokens: components["schemas"]["TokenView"][];
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export type operations = Record<string, never>;
