/* SPDX-License-Identifier: GPL-2.0-or-later */
/* domain_job.c: calls that put machines into files and back, and ask how far that is. */
#include "manager/rpc/domain_call.h"
#include "wire/libvirt/typed.h"

enum {
	SAVE_KNOWN = SAVE_BYPASS_CACHE | SAVE_RUNNING | SAVE_PAUSED,
	JOB_NONE = 0,
	JOB_UNBOUNDED = 2
};

static int save(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_save_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	return d ? domain_save(d, a->to, NULL, 0, error) : -1;
}

static int save_flags(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_save_flags_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	if (!d || rpc_no_flags(a->flags, SAVE_KNOWN, error) < 0)
		return -1;
	return domain_save(d, a->to, a->dxml, a->flags, error);
}

static int save_params(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_save_params_args *a = args;
	auto_domain d = rpc_domain(call, args, error);
	const char *file = NULL, *xml = NULL;

	if (!d || rpc_no_flags(a->flags, SAVE_KNOWN, error) < 0 ||
		typed_get_string(a->params, a->params_count, "file", &file, error) < 0 ||
		typed_get_string(a->params, a->params_count, "dxml", &xml, error) < 0)
		return -1;
	return domain_save(d, file, xml, a->flags, error);
}

static int managed_save(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_managed_save_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	if (!d || rpc_no_flags(a->flags, SAVE_KNOWN, error) < 0)
		return -1;
	return domain_save(d, NULL, NULL, a->flags, error);
}

static int has_managed(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);
	auto_view v = { 0 };

	if (!d)
		return -1;
	domain_view(d, &v);
	((struct remote_domain_has_managed_save_image_ret *)ret)->result = domain_view_saved(&v);
	return 0;
}

static int remove_managed(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);

	return d ? domain_managed_save_remove(d, error) : -1;
}

static int managed_xml(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_domain_managed_save_get_xml_desc_ret *r = ret;
	auto_domain d = rpc_domain(call, args, error);
	auto_view v = { 0 };

	if (!d)
		return -1;
	domain_view(d, &v);
	if (!domain_view_saved(&v))
		return refuse(error, MANAGER_ERR_OPERATION_INVALID,
			"domain does not have managed save image");
	r->xml = domain_save_xml(v.managed_file, error);
	return r->xml ? 0 : -1;
}

static int managed_set_xml(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_managed_save_define_xml_args *a = args;
	auto_domain d = rpc_domain(call, args, error);
	auto_view v = { 0 };

	if (!d || rpc_no_flags(a->flags, SAVE_KNOWN, error) < 0)
		return -1;
	domain_view(d, &v);
	if (!domain_view_saved(&v))
		return refuse(error, MANAGER_ERR_OPERATION_INVALID,
			"domain does not have managed save image");
	return a->dxml ? domain_save_set_xml(v.managed_file, a->dxml, a->flags, error) : 0;
}

static int image_xml(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_save_image_get_xml_desc_args *a = args;
	char *xml = domain_save_xml(a->file, error);

	((struct remote_domain_save_image_get_xml_desc_ret *)ret)->xml = xml;
	return xml ? 0 : -1;
}

static int image_set_xml(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_save_image_define_xml_args *a = args;

	return rpc_no_flags(a->flags, SAVE_KNOWN, error) < 0
		       ? -1
		       : domain_save_set_xml(a->file, a->dxml, a->flags, error);
}

static int restore(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_restore_args *a = args;

	return domain_restore(call->manager, a->from, NULL, 0, error);
}

static int restore_flags(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_restore_flags_args *a = args;

	return rpc_no_flags(a->flags, SAVE_KNOWN, error) < 0
		       ? -1
		       : domain_restore(call->manager, a->from, a->dxml, a->flags, error);
}

static int restore_params(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_restore_params_args *a = args;
	const char *file = NULL, *xml = NULL;

	if (rpc_no_flags(a->flags, SAVE_KNOWN, error) < 0 ||
		typed_get_string(a->params, a->params_count, "file", &file, error) < 0 ||
		typed_get_string(a->params, a->params_count, "dxml", &xml, error) < 0)
		return -1;
	if (!file)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "parameter 'file' is missing");
	return domain_restore(call->manager, file, xml, a->flags, error);
}

static int job_info(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_domain_get_job_info_ret *r = ret;
	auto_domain d = rpc_domain(call, args, error);
	struct domain_job_view job;

	if (!d)
		return -1;
	domain_job_view(d, &job);
	r->type = job.kind ? JOB_UNBOUNDED : JOB_NONE;
	r->timeElapsed = (uint64_t)(job.elapsed_us / 1000);
	return 0;
}

static int job_stats(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_domain_get_job_stats_ret *r = ret;
	const struct remote_domain_get_job_stats_args *a = args;
	auto_domain d = rpc_domain(call, args, error);
	struct typed_list l = { 0 };
	struct domain_job_view job;

	if (!d)
		return -1;
	domain_job_view(d, &job);
	if (job.kind && !(a->flags & 1)) {
		r->type = JOB_UNBOUNDED;
		typed_u64(&l, (uint64_t)(job.elapsed_us / 1000), "time_elapsed");
	}
	r->params = l.items;
	r->params_count = l.count;
	return 0;
}

static int abort_job(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);
	struct domain_job_view job;

	if (!d)
		return -1;
	domain_job_view(d, &job);
	return job.kind ? refuse(error, MANAGER_ERR_OPERATION_INVALID, "'%s' cannot be aborted",
				  job.kind)
			: refuse(error, MANAGER_ERR_OPERATION_INVALID,
				  "no job is active on the domain");
}

const struct rpc_procedure rpc_domain_job_procedures[] = {
	{ REMOTE_PROC_DOMAIN_SAVE, save, ROLE_OPERATE },
	{ REMOTE_PROC_DOMAIN_SAVE_FLAGS, save_flags, ROLE_OPERATE },
	{ REMOTE_PROC_DOMAIN_SAVE_PARAMS, save_params, ROLE_OPERATE },
	{ REMOTE_PROC_DOMAIN_MANAGED_SAVE, managed_save, ROLE_OPERATE },
	{ REMOTE_PROC_DOMAIN_HAS_MANAGED_SAVE_IMAGE, has_managed, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_MANAGED_SAVE_REMOVE, remove_managed, ROLE_OPERATE },
	{ REMOTE_PROC_DOMAIN_MANAGED_SAVE_GET_XML_DESC, managed_xml, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_MANAGED_SAVE_DEFINE_XML, managed_set_xml, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_SAVE_IMAGE_GET_XML_DESC, image_xml, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_SAVE_IMAGE_DEFINE_XML, image_set_xml, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_RESTORE, restore, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_RESTORE_FLAGS, restore_flags, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_RESTORE_PARAMS, restore_params, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_GET_JOB_INFO, job_info, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_GET_JOB_STATS, job_stats, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_ABORT_JOB, abort_job, ROLE_OPERATE },
	{},
};
