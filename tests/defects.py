"""What netmgr must not repeat: each defect marked in the reference of Spiderpool's interface, and the tests that prevent it.

Marks that concern only its documents, or features that netmgr does not have (ARP probes, history records), are not here.
"""

from __future__ import annotations

from tests.rows import Row

AGENT, CONTROLLER, KUBE = "integration/agent/", "integration/controller/", "integration/kube/"
WEBHOOK, IPAM = "integration/webhook/", "unit/ipam/"

DEFECTS = (
    Row(
        "command line tools that only log a line",
        (
            CONTROLLER + "test_ip.py::test_show_says_who_has_an_address_and_what_happens_next",
            CONTROLLER + "test_why.py::test_each_candidate_has_its_reason_in_the_event_and_in_the_answer",
            CONTROLLER + "test_repair.py::test_a_damage_is_said_in_a_dry_run_and_then_put_right",
        ),
    ),
    Row(
        "manifests with a vlan from before are refused",
        (KUBE + "test_definitions.py::test_a_pool_of_the_walk_through_is_admitted_with_its_defaults",),
    ),
    Row(
        "two overlapping ranges made at the same moment both count",
        (
            WEBHOOK + "test_objects.py::test_of_two_pools_made_at_the_same_moment_the_younger_is_told_why_it_lost",
            CONTROLLER + "test_bad_input.py::test_the_younger_of_two_overlapping_subnets_is_not_accepted",
            IPAM + "test_decisions.py::test_ranges_of_a_pool_are_accepted_one_by_one",
        ),
    ),
    Row("documented annotations are not strings", ("unit/test_tables.py::test_every_annotation_of_an_example_is_a_string",)),
    Row(
        "an auto pool's networks are never looked at",
        (CONTROLLER + "test_interfaces.py::test_subnets_for_two_interfaces_become_two_pools_of_the_application",),
    ),
    Row(
        "pools without a network are refused where Multus is not installed",
        (CONTROLLER + "test_interfaces.py::test_a_pool_admits_the_networks_that_it_names_and_eth0_needs_no_multus",),
    ),
    Row(
        "the user's order of pools is lost",
        (
            CONTROLLER + "test_selection.py::test_the_users_order_decides_and_the_next_pool_serves_where_one_is_full",
            IPAM + "test_decisions.py::test_the_users_order_is_kept_and_wildcards_are_expanded_by_name",
        ),
    ),
    Row(
        "the documented default size is not the effective one, and a rolling update hangs",
        (
            "unit/controller/test_kinds.py::test_pods_at_one_time_and_what_an_update_adds",
            "e2e/test_kinds.py::test_a_daemon_set_has_an_address_on_each_node_and_one_to_spare",
            CONTROLLER + "test_applications.py::test_a_rollout_without_a_spare_address_says_what_is_wrong",
        ),
    ),
    Row(
        "addresses are taken otherwise than documented, the last released first",
        (
            IPAM + "test_carve.py::test_released_addresses_are_given_out_last",
            IPAM + "test_carve.py::test_a_new_pool_is_aligned_and_leaves_room_to_grow",
        ),
    ),
    Row(
        "an ordinal whose record is lost is answered with an address that another may get",
        (
            "e2e/test_traps.py::test_an_allocation_deleted_by_an_administrator_comes_back",
            AGENT + "test_attachments.py::test_an_allocation_that_vanishes_takes_the_route_and_brings_it_back",
        ),
    ),
    Row(
        "two interfaces of one pool get the same address",
        (
            CONTROLLER + "test_interfaces.py::test_two_interfaces_that_name_one_pool_get_two_addresses",
            AGENT + "test_interfaces.py::test_two_interfaces_of_one_pool_never_get_the_same_address",
        ),
    ),
    Row(
        "a mistake in an annotation is counted as something else",
        (CONTROLLER + "test_metrics.py::test_what_the_controller_did_is_counted",),
    ),
    Row(
        "an address that is in use elsewhere on the node is answered again and again, and ordinals lose theirs by it",
        (
            AGENT + "test_attachments.py::test_a_route_of_somebody_else_is_an_error_that_names_the_link",
            "e2e/test_traps.py::test_a_foreign_host_route_is_named_in_the_pods_events_and_nothing_is_black_holed",
        ),
    ),
    Row(
        "a stale cache frees an address in use",
        (
            "unit/lives/test_release.py::TestReleases::runTest",
            IPAM + "test_decisions.py::test_nothing_is_freed_without_two_proofs",
            CONTROLLER + "test_evidence.py::test_a_del_of_a_living_pod_frees_nothing",
            CONTROLLER + "test_leaders.py::test_a_stale_leaders_delete_is_refused",
        ),
    ),
    Row(
        "a CNI configuration that follows the documents does not parse",
        (
            AGENT + "test_imported.py::test_a_network_that_names_spiderpool_as_its_ipam_plugin_is_answered_as_it_stands",
            "unit/fuzz/test_cni.py::test_any_environment_and_stdin_is_a_call_or_an_error_with_a_code",
        ),
    ),
    Row(
        "metrics are not called what the documents say",
        (
            CONTROLLER + "test_metrics.py::test_each_metric_of_a_working_controller_is_in_the_page_and_the_other_way_round",
            AGENT + "test_metrics.py::test_each_metric_of_a_working_agent_is_in_the_page_and_the_other_way_round",
        ),
    ),
    Row("gauges add up what they should show", (CONTROLLER + "test_metrics.py::test_what_the_controller_did_is_counted",)),
    Row(
        "a live application cannot change its subnet, and its ranges leak",
        (CONTROLLER + "test_applications.py::test_an_application_that_names_another_subnet_moves_there_and_loses_no_pod",),
    ),
    Row(
        "namesakes in two namespaces are one pool",
        (CONTROLLER + "test_applications.py::test_the_same_name_in_two_namespaces_is_two_applications",),
    ),
    Row(
        "agent and controller size pools by different figures",
        (
            CONTROLLER + "test_applications.py::test_the_walkthrough_sizes_five_six_five_and_nothing_left",
            "unit/lives/test_auto_pools.py::TestAutoPools::runTest",
        ),
    ),
    Row(
        "an interface that no list names hangs its Pod without a word",
        (
            CONTROLLER + "test_interfaces.py::test_an_interface_that_the_list_lacks_is_named_in_the_refusal",
            AGENT + "test_interfaces.py::test_an_interface_of_another_pods_name_waits_and_says_so",
        ),
    ),
    Row(
        "every new pool is compared with all others",
        (IPAM + "test_accepted_pools.py::test_ten_thousand_pools_are_judged_one_by_one_without_looking_at_all",),
    ),
    Row(
        "every rollout of a third party's workload is another application",
        (CONTROLLER + "test_third_parties.py::test_a_rollout_is_one_application_through_all_its_revisions",),
    ),
    Row(
        "one full pool of two interfaces drains the other",
        (CONTROLLER + "test_interfaces.py::test_a_full_pool_on_one_interface_takes_no_address_of_the_other",),
    ),
    Row(
        "a node that is lost gives up addresses that are in use",
        (CONTROLLER + "test_evidence.py::test_a_node_that_is_not_ready_frees_nothing_without_the_pools_grace",),
    ),
)
