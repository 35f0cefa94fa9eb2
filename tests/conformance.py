"""What netmgr promises, row by row, and the tests that show it: against the real API server, with real kubelets where a Pod's life
matters. `tests/unit/test_tables.py` fails for a row without a test, and for one whose test does not exist or never runs.
"""

from __future__ import annotations

from tests.rows import Row

CONTROLLER = "integration/controller/"
AGENT = "integration/agent/"
KUBE = "integration/kube/"
WEBHOOK = "integration/webhook/"
IMPORTING = "integration/importing/"
E2E = "e2e/"

CONFORMANCE: dict[str, tuple[Row, ...]] = {
    "Selection": (
        Row(
            "`subnet` gives an application a pool of its own",
            (
                CONTROLLER + "test_applications.py::test_the_walkthrough_sizes_five_six_five_and_nothing_left",
                E2E + "test_walkthrough.py::test_the_application_gets_a_pool_of_five",
            ),
        ),
        Row(
            "`subnets` gives one for each interface",
            (CONTROLLER + "test_interfaces.py::test_subnets_for_two_interfaces_become_two_pools_of_the_application",),
        ),
        Row(
            "`ippool` names pools",
            (
                CONTROLLER + "test_applications.py::test_a_manual_pool_counts_what_its_pods_hold",
                E2E + "test_walkthrough.py::test_a_pool_chosen_by_hand_holds_two_of_eleven",
            ),
        ),
        Row(
            "`ippools` names them for each interface",
            (CONTROLLER + "test_interfaces.py::test_a_list_without_names_follows_the_order_of_the_networks",),
        ),
        Row(
            "`ippool-ip-number` is fixed or added to the replicas",
            (
                CONTROLLER + "test_applications.py::test_the_walkthrough_sizes_five_six_five_and_nothing_left",
                "unit/ipam/test_annotations.py::test_a_number_is_fixed_or_added_to_the_replicas",
            ),
        ),
        Row(
            "`ippool-reclaim: false` keeps the pool for the next application of that name",
            (CONTROLLER + "test_applications.py::test_a_pool_that_outlives_its_application_serves_the_next_one_of_that_name",),
        ),
        Row(
            "`routes` go to the interface that can use them",
            (
                CONTROLLER + "test_interfaces.py::test_routes_go_with_the_interface_whose_subnet_holds_their_gateway",
                CONTROLLER + "test_interfaces.py::test_a_route_that_no_interface_can_use_is_refused_before_an_address_is_taken",
            ),
        ),
        Row(
            "`default-ipv4-ippool` and `default-ipv6-ippool` speak for a namespace",
            (
                CONTROLLER + "test_selection.py::test_the_first_source_that_says_anything_chooses_the_pool",
                CONTROLLER + "test_selection.py::test_an_ipv6_pool_of_the_namespace_serves_its_pods",
            ),
        ),
        Row(
            "the first source that says anything wins",
            (
                CONTROLLER + "test_selection.py::test_the_first_source_that_says_anything_chooses_the_pool",
                "unit/ipam/test_annotations.py::test_the_first_source_that_says_anything_wins",
            ),
        ),
        Row("wildcards", (CONTROLLER + "test_selection.py::test_a_wildcard_names_the_pools_that_match",)),
        Row(
            "ordered fallback in the user's order",
            (CONTROLLER + "test_selection.py::test_the_users_order_decides_and_the_next_pool_serves_where_one_is_full",),
        ),
        Row(
            "affinities to Pods, nodes and namespaces, name lists, `disable`",
            (
                CONTROLLER + "test_selection.py::test_a_pool_that_does_not_admit_the_pod_is_passed_over",
                CONTROLLER + "test_selection.py::test_a_pool_that_admits_the_pod_serves_it",
            ),
        ),
        Row(
            "affinity to Multus networks",
            (CONTROLLER + "test_interfaces.py::test_a_pool_admits_the_networks_that_it_names_and_eth0_needs_no_multus",),
        ),
        Row("default pools", (CONTROLLER + "test_selection.py::test_a_pod_that_names_nothing_gets_an_address_of_a_default_pool",)),
        Row(
            "`excludeIPs` and gateways are nobody's addresses",
            (CONTROLLER + "test_selection.py::test_neither_an_excluded_address_nor_the_gateway_is_given_out",),
        ),
        Row(
            "SpiderReservedIP",
            (CONTROLLER + "test_applications.py::test_a_reserved_address_is_given_to_nobody_and_the_pool_makes_up_for_it",),
        ),
        Row(
            "gateways and routes are inherited from the subnet",
            (
                CONTROLLER + "test_interfaces.py::test_a_pool_takes_gateway_and_routes_from_the_subnet_of_its_prefix",
                WEBHOOK + "test_objects.py::test_an_empty_list_of_routes_inherits_none",
            ),
        ),
        Row(
            "why this pool and not that one, in the Event and in `netmgr why`",
            (
                CONTROLLER + "test_why.py::test_each_candidate_has_its_reason_in_the_event_and_in_the_answer",
                CONTROLLER + "test_why.py::test_what_a_pod_holds_is_said_with_the_rule_and_the_pools_beside_it",
            ),
        ),
    ),
    "Auto pools": (
        Row(
            "Deployment and its ReplicaSets",
            (
                E2E + "test_walkthrough.py::test_the_application_gets_a_pool_of_five",
                E2E + "test_walkthrough.py::test_scaled_to_three_the_pool_has_six_and_the_first_two_keep_theirs",
            ),
        ),
        Row(
            "StatefulSet",
            (CONTROLLER + "test_ordinals.py::test_the_ordinals_address_follows_its_pod_to_another_node_once_released",),
        ),
        Row(
            "DaemonSet, with the default size",
            (E2E + "test_kinds.py::test_a_daemon_set_has_an_address_on_each_node_and_one_to_spare",),
        ),
        Row(
            "Job and CronJob",
            (E2E + "test_kinds.py::test_jobs_of_a_cron_job_share_its_pool_and_give_back_what_they_finished_with",),
        ),
        Row(
            "the owner chain is followed to its true top",
            (
                CONTROLLER + "test_third_parties.py::test_a_rollout_is_one_application_through_all_its_revisions",
                "unit/controller/test_kinds.py::test_the_chain_is_followed_to_its_top",
            ),
        ),
        Row(
            "replicas come from the scale subresource where there is one",
            (
                CONTROLLER + "test_third_parties.py::test_a_rollout_is_one_application_through_all_its_revisions",
                CONTROLLER + "test_third_parties.py::test_a_kind_without_a_scale_needs_a_number_and_is_told_so",
            ),
        ),
        Row(
            "default size: replicas and what a rollout adds, at least one",
            (
                "unit/controller/test_kinds.py::test_pods_at_one_time_and_what_an_update_adds",
                E2E + "test_kinds.py::test_a_daemon_set_has_an_address_on_each_node_and_one_to_spare",
            ),
        ),
        Row(
            "ranges are aligned and contiguous, with room, and grow in place",
            (
                "unit/ipam/test_carve.py::test_a_new_pool_is_aligned_and_leaves_room_to_grow",
                "unit/ipam/test_carve.py::test_a_pool_grows_in_place",
                E2E + "test_walkthrough.py::test_scaled_to_three_the_pool_has_six_and_the_first_two_keep_theirs",
            ),
        ),
        Row(
            "shrinking takes the tail",
            (
                "unit/ipam/test_carve.py::test_a_pool_shrinks_from_its_free_tail",
                E2E + "test_walkthrough.py::test_scaled_back_the_pool_has_five",
            ),
        ),
        Row(
            "`reclaim: false` and re-adoption",
            (CONTROLLER + "test_applications.py::test_a_pool_that_outlives_its_application_serves_the_next_one_of_that_name",),
        ),
        Row(
            "another subnet on a live application migrates it",
            (CONTROLLER + "test_applications.py::test_an_application_that_names_another_subnet_moves_there_and_loses_no_pod",),
        ),
        Row(
            "namesakes in two namespaces never collide",
            (CONTROLLER + "test_applications.py::test_the_same_name_in_two_namespaces_is_two_applications",),
        ),
        Row("names over 63 characters", (CONTROLLER + "test_applications.py::test_a_name_of_more_than_63_characters_has_a_pool",)),
        Row(
            "two subnets for a family, as ordered alternatives",
            (
                CONTROLLER + "test_applications.py::test_the_second_subnet_serves_where_the_first_has_no_room",
                CONTROLLER + "test_applications.py::test_what_the_first_subnet_cannot_grow_by_comes_from_the_second",
            ),
        ),
        Row(
            "a rolling update without a spare address says what is wrong",
            (CONTROLLER + "test_applications.py::test_a_rollout_without_a_spare_address_says_what_is_wrong",),
        ),
    ),
    "StatefulSet": (
        Row(
            "the address stays the ordinal's over restarts and moves, after proved release",
            (
                CONTROLLER + "test_ordinals.py::test_the_ordinals_address_follows_its_pod_to_another_node_once_released",
                CONTROLLER + "test_release.py::test_the_ordinals_address_leaves_a_node_that_is_out_of_service",
            ),
        ),
        Row(
            "over scale-down and up where that is asked for",
            (CONTROLLER + "test_ordinals.py::test_an_ordinal_keeps_its_address_through_scale_down_and_up_where_that_is_asked_for",),
        ),
        Row(
            "an ordinal that is scaled away keeps nothing otherwise",
            (
                CONTROLLER + "test_ordinals.py::test_an_ordinal_that_is_scaled_away_keeps_nothing",
                CONTROLLER + "test_ordinals.py::test_ordinals_that_begin_elsewhere_are_kept_too",
            ),
        ),
        Row(
            "another pool is taken when the annotation says so",
            (
                CONTROLLER
                + "test_ordinals.py::test_an_ordinal_moves_to_another_pool_with_its_annotation_and_gives_the_old_address_up",
            ),
        ),
        Row(
            "a KubeVirt machine keeps its address by the same rule",
            (CONTROLLER + "test_third_parties.py::test_a_machine_keeps_its_address_as_long_as_it_exists",),
        ),
    ),
    "Dual stack and several interfaces": (
        Row(
            "both families of a Pod are reached",
            (E2E + "test_dual_stack.py::test_every_pod_is_reached_by_both_families_and_leaves_nothing",),
        ),
        Row(
            "networks are read from the API, several ADDs name interfaces",
            (
                CONTROLLER + "test_interfaces.py::test_a_definition_that_comes_later_gives_its_interface_an_address",
                AGENT + "test_interfaces.py::test_a_second_interface_is_answered_while_the_first_is_attached",
            ),
        ),
        Row(
            "each Pod, interface and family has a claim of its own, never the same address twice",
            (
                CONTROLLER + "test_interfaces.py::test_two_interfaces_that_name_one_pool_get_two_addresses",
                AGENT + "test_interfaces.py::test_two_interfaces_of_one_pool_never_get_the_same_address",
            ),
        ),
    ),
    "Release and repair": (
        Row(
            "completed Pods",
            (
                CONTROLLER + "test_evidence.py::test_a_pod_that_has_ended_keeps_its_address_until_its_sandbox_is_detached",
                E2E + "test_kinds.py::test_jobs_of_a_cron_job_share_its_pool_and_give_back_what_they_finished_with",
            ),
        ),
        Row(
            "evicted Pods",
            (
                CONTROLLER
                + "test_evidence.py::test_an_evicted_pods_address_serves_its_successor_while_the_object_of_the_pod_is_still_there",
            ),
        ),
        Row("force-deleted Pods", (E2E + "test_traps.py::test_a_force_deleted_pod_keeps_its_address_until_the_sandbox_ends",)),
        Row("node gone", (CONTROLLER + "test_release.py::test_a_node_objects_disappearance_alone_frees_nothing",)),
        Row(
            "node NotReady",
            (
                CONTROLLER + "test_evidence.py::test_a_node_that_is_not_ready_frees_nothing_without_the_pools_grace",
                CONTROLLER + "test_release.py::test_the_pools_grace_counts_from_the_question",
            ),
        ),
        Row(
            "node out of service, or started anew",
            (CONTROLLER + "test_release.py::test_the_address_of_a_gone_pod_on_a_silent_node_waits_for_proof",),
        ),
        Row("cooldown", (CONTROLLER + "test_release.py::test_a_released_address_rests_for_the_pools_cooldown_and_counts_as_used",)),
        Row(
            "periodic repair that explains itself, with a dry run",
            (
                CONTROLLER + "test_repair.py::test_a_damage_is_said_in_a_dry_run_and_then_put_right",
                CONTROLLER + "test_repair.py::test_the_leader_puts_right_what_no_event_tells_it",
            ),
        ),
        Row("GC of CNI 1.1", (AGENT + "test_attachments.py::test_gc_ends_what_the_runtime_does_not_list",)),
        Row(
            "nothing frees an address on a cache's word alone",
            (
                "unit/lives/test_release.py::TestReleases::runTest",
                CONTROLLER + "test_leaders.py::test_a_force_deleted_pod_keeps_its_address_until_the_agent_reports",
            ),
        ),
        Row("fallback: a default pool", (CONTROLLER + "test_fallback.py::test_everybodys_pools_serve_both_families",)),
        Row(
            "fallback: another IPAM plugin",
            (
                AGENT + "test_fallback.py::test_a_pod_that_no_rule_covers_is_answered_by_the_delegate_and_given_back_to_it",
                AGENT + "test_fallback.py::test_del_while_the_agent_is_away_gives_the_address_back_to_the_delegate",
                E2E + "test_fallback.py::test_an_application_without_a_rule_is_host_locals_and_one_with_a_rule_is_ours",
                CONTROLLER + "test_fallback.py::test_a_pod_that_no_rule_covers_is_listed_for_its_node_and_gets_no_address_of_ours",
            ),
        ),
        Row(
            "static Pods",
            (
                CONTROLLER + "test_selection.py::test_a_static_pod_is_known_by_the_uid_that_its_runtime_gives_it",
                AGENT + "test_calls.py::test_a_late_del_of_a_static_pods_earlier_sandbox_keeps_the_address",
                E2E + "test_static_pods.py::test_a_static_pod_has_a_fixed_address_through_its_mirrors_and_its_sandboxes",
            ),
        ),
        Row(
            "forged owners and annotations steal nothing",
            (
                CONTROLLER + "test_bad_input.py::test_a_forged_owner_reference_steals_nothing",
                "unit/controller/test_kinds.py::test_a_reference_that_the_live_objects_do_not_bear_out_proves_nothing",
            ),
        ),
    ),
    "Admission": (
        Row(
            "CEL refuses what one object says wrongly",
            (
                KUBE + "test_definitions.py::test_a_broken_subnet_or_pool_is_refused_with_words_that_help",
                "integration/fuzz/test_kinds.py::test_any_spec_is_stored_or_refused_with_words",
            ),
        ),
        Row(
            "a validating webhook compares several objects",
            (
                WEBHOOK + "test_objects.py::test_a_pool_that_the_controller_would_not_accept_is_refused",
                WEBHOOK + "test_objects.py::test_a_subnet_over_a_pool_of_another_prefix_is_refused",
            ),
        ),
        Row("a defaulting webhook", (WEBHOOK + "test_objects.py::test_what_an_author_leaves_out_is_filled_in",)),
        Row(
            "every replica serves",
            (WEBHOOK + "test_serving.py::test_a_replica_that_does_not_lead_answers_too_and_goes_on_when_the_leader_is_killed",),
        ),
        Row(
            "own certificates, replaced without a restart",
            (WEBHOOK + "test_serving.py::test_new_certificates_are_served_and_trusted_without_a_restart",),
        ),
        Row(
            "a pool or subnet in use is not deleted",
            (
                WEBHOOK + "test_objects.py::test_a_pool_in_use_is_not_deleted_and_says_who_uses_it",
                WEBHOOK + "test_objects.py::test_a_subnet_whose_addresses_pools_have_is_not_deleted",
                E2E + "test_bad_input.py::test_a_pool_in_use_is_not_deleted",
            ),
        ),
        Row("an address in use cannot be dropped", (WEBHOOK + "test_objects.py::test_an_address_in_use_cannot_be_dropped",)),
        Row(
            "annotation mistakes on workloads are refused",
            (WEBHOOK + "test_workloads.py::test_a_mistake_in_a_template_of_any_kind_is_refused_and_names_the_place",),
        ),
        Row(
            "workloads pass when no webhook answers", (WEBHOOK + "test_workloads.py::test_workloads_pass_when_no_webhook_answers",)
        ),
        Row(
            "Pods without our annotations never reach it",
            (
                WEBHOOK
                + "test_workloads.py::test_pods_without_our_annotations_and_pods_of_a_judged_template_never_reach_the_webhook",
            ),
        ),
        Row(
            "of two concurrent creates that overlap the loser says why",
            (WEBHOOK + "test_objects.py::test_of_two_pools_made_at_the_same_moment_the_younger_is_told_why_it_lost",),
        ),
        Row(
            "conditions, observedGeneration and free counts",
            (
                CONTROLLER + "test_statuses.py::test_a_pool_counts_what_is_free_and_says_when_nothing_is",
                CONTROLLER + "test_statuses.py::test_a_subnet_says_what_no_pool_has",
                CONTROLLER + "test_statuses.py::test_a_transition_time_moves_only_with_its_status",
            ),
        ),
        Row(
            "SpiderEndpoint for tools that read it",
            (
                CONTROLLER + "test_endpoints.py::test_a_pod_of_a_deployment_has_one_with_both_addresses_that_belongs_to_it",
                E2E + "test_endpoints.py::test_a_pod_has_one_while_it_lives",
            ),
        ),
        Row(
            "an agent touches only its own node's allocations",
            (
                WEBHOOK + "test_policies.py::test_an_agent_reports_about_its_own_node_and_no_other",
                E2E + "test_zz_install.py::test_an_agent_cannot_report_about_another_node",
            ),
        ),
    ),
    "Import": (
        Row(
            "pools, subnets and running Pods' addresses are taken over",
            (
                IMPORTING
                + "test_importing.py"
                + "::test_after_the_import_the_controller_frees_and_moves_nothing_and_new_pods_get_other_addresses",
                IMPORTING + "test_importing.py::test_a_pool_made_by_hand_keeps_what_its_owner_wrote",
            ),
        ),
        Row(
            "a dry run says the same and changes nothing",
            (IMPORTING + "test_importing.py::test_a_dry_run_changes_nothing_and_says_the_same",),
        ),
        Row(
            "conflicts are reported",
            (IMPORTING + "test_importing.py::test_what_the_api_server_refuses_is_a_finding_and_the_rest_is_done",),
        ),
        Row(
            "no running Pod loses its address",
            (
                E2E + "test_zz_import.py::test_nothing_restarts_or_moves_and_what_is_made_anew_is_netmgrs",
                IMPORTING + "test_whole.py::test_an_imported_ordinal_keeps_its_address_over_its_sandbox_and_its_pod",
            ),
        ),
    ),
    "Metrics and Events": (
        Row(
            "names are listed in a page that is compared with a scrape",
            (
                CONTROLLER + "test_metrics.py::test_each_metric_of_a_working_controller_is_in_the_page_and_the_other_way_round",
                AGENT + "test_metrics.py::test_each_metric_of_a_working_agent_is_in_the_page_and_the_other_way_round",
            ),
        ),
        Row(
            "reasons of Events are listed in a page that is compared with the code",
            (
                "unit/netmgr/test_reasons.py::test_each_listed_reason_is_in_the_page_with_what_it_is_recorded_on_and_the_other_way_round",
            ),
        ),
        Row(
            "latency is told from half a millisecond on",
            (
                "unit/test_tables.py::test_latency_is_told_from_half_a_millisecond_on",
                "unit/agent/test_metrics.py::test_a_call_is_in_every_bucket_that_its_time_fits",
            ),
        ),
    ),
}
