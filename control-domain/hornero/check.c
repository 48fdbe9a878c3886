// SPDX-License-Identifier: MIT
/*
 * hornero check: shows the findings about a machine that does not run the hypervisor yet, one line
 * each, and what they mean together.
 */
#include <getopt.h>
#include <json-c/json.h>
#include <string.h>

#include "check.h"
#include "hornero.h"

#define WHAT_WIDTH 34

static const char *const need_names[] = {
	[CHECK_NEEDED] = "needed", [CHECK_OPTIONAL] = "optional", [CHECK_INFO] = "information"};
static const char *const verdict_names[] = {[CHECK_USABLE] = "usable",
					    [CHECK_LIMITS] = "usable with limits",
					    [CHECK_UNUSABLE] = "not usable"};
static const enum exit_code verdict_codes[] = {
	[CHECK_USABLE] = EXIT_OK, [CHECK_LIMITS] = EXIT_LIMITS, [CHECK_UNUSABLE] = EXIT_UNUSABLE};

static const char *mark(const struct check_finding *f)
{
	if (f->need == CHECK_INFO)
		return "   ";
	if (f->good)
		return "ok ";
	return f->need == CHECK_NEEDED ? "NO " : "-- ";
}

/* Columns; what has to be done stands below its line. */
static void print_text(const struct check_finding *findings, unsigned int n,
		       enum check_verdict verdict)
{
	printf("   %-*s %-11s %s\n", WHAT_WIDTH, "what", "need", "found");
	for (unsigned int i = 0; i < n; i++) {
		const struct check_finding *f = &findings[i];
		int width = strlen(f->what) > WHAT_WIDTH ? (int)strcspn(f->what, "(") : WHAT_WIDTH;

		printf("%s%-*.*s %-11s %s\n", mark(f), WHAT_WIDTH, width, f->what,
		       need_names[f->need], f->found);
		if (f->remedy)
			printf("   > %s\n", f->remedy);
	}
	printf("\nThis machine is %s for Hornero.\n", verdict_names[verdict]);
}

static struct json_object *to_json(const struct check_finding *findings, unsigned int n,
				   enum check_verdict verdict)
{
	struct json_object *top = json_object_new_object();
	struct json_object *array = json_object_new_array();

	for (unsigned int i = 0; i < n; i++) {
		struct json_object *one = json_object_new_object();
		const struct check_finding *f = &findings[i];

		json_object_object_add(one, "what", json_object_new_string(f->what));
		json_object_object_add(one, "found", json_object_new_string(f->found));
		json_object_object_add(one, "need", json_object_new_string(need_names[f->need]));
		json_object_object_add(one, "good", json_object_new_boolean(f->good));
		if (f->remedy)
			json_object_object_add(one, "remedy", json_object_new_string(f->remedy));
		json_object_array_add(array, one);
	}
	json_object_object_add(top, "verdict", json_object_new_string(verdict_names[verdict]));
	json_object_object_add(top, "findings", array);
	return top;
}

int check_main(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	static struct check_finding findings[CHECK_MAX_FINDINGS];
	struct check_facts facts;
	enum check_verdict verdict;
	bool json = false;
	unsigned int n;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h') {
			puts("Usage: hornero check [--json]\n\n"
			     "Tells whether this machine will do for Hornero, before it runs it; wants\n"
			     "root. Exit codes: 0 usable, 4 usable with limits, 5 not usable, 1 could\n"
			     "not look.");
			return EXIT_OK;
		}
		if (option != 'j')
			return EXIT_USAGE;
		json = true;
	}
	if (optind < argc)
		return fail(EXIT_USAGE, "check takes no argument '%s'", argv[optind]);
	if (hypervisor_present())
		return fail(
			EXIT_FAILED,
			"the hypervisor runs already, and hides VT-x: 'hornero info' tells what "
			"it uses");
	n = 0;
	verdict = CHECK_UNUSABLE;
	if (check_gather(&facts) == 0) {
		n = check_judge(&facts, findings);
		verdict = check_sum_up(findings, n);
	}
	check_release(&facts);
	if (!n)
		return EXIT_FAILED;
	if (json)
		print_json(stdout, to_json(findings, n, verdict));
	else
		print_text(findings, n, verdict);
	return verdict_codes[verdict];
}
