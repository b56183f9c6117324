/* SPDX-License-Identifier: GPL-2.0-or-later */
/* commands_run.c: commands that change the machine. */
#include "base/error.h"
#include "core/machine.h"
#include "monitor/schema.h"
#include "vm/inspect.h"
#include "vm/vm.h"

static bool ended(const struct vm *vm)
{
	return vm->machine->state == MACHINE_SHUTDOWN || vm->machine->state == MACHINE_CRASHED;
}

static json_t *refuse(GError **error, const char *text)
{
	fail(error, LODGE_ERROR_USAGE, "%s", text);
	return NULL;
}

json_t *qmp_stop(struct vm *vm, const json_t *args, GError **error)
{
	machine_pause(vm->machine);
	return json_object();
}

json_t *qmp_cont(struct vm *vm, const json_t *args, GError **error)
{
	if (ended(vm))
		return refuse(error, "The machine has ended");
	machine_start(vm->machine);
	return json_object();
}

json_t *qmp_system_reset(struct vm *vm, const json_t *args, GError **error)
{
	machine_request(vm->machine, MACHINE_REQ_RESET, "host-qmp-system-reset");
	return json_object();
}

json_t *qmp_system_powerdown(struct vm *vm, const json_t *args, GError **error)
{
	if (!vm_powerdown(vm))
		return refuse(error, "The machine has no power button");
	return json_object();
}

json_t *qmp_quit(struct vm *vm, const json_t *args, GError **error)
{
	machine_request(vm->machine, MACHINE_REQ_POWEROFF, "host-qmp-quit");
	return json_object();
}

json_t *qmp_save(struct vm *vm, const json_t *args, GError **error)
{
	const char *file = json_string_value(json_object_get(args, "file"));

	return vm_save(vm, file, error) < 0 ? NULL : json_object();
}

json_t *qmp_restore(struct vm *vm, const json_t *args, GError **error)
{
	const char *file = json_string_value(json_object_get(args, "file"));

	if (ended(vm))
		return refuse(error, "The machine has ended");
	machine_pause(vm->machine);
	if (vm_restore(vm, file, error) == 0)
		return json_object();
	/* Half of one state and half of another must not run. */
	machine_request(vm->machine, MACHINE_REQ_CRASH, "host-error");
	return NULL;
}

static bool need_balloon(struct vm *vm, GError **error)
{
	if (vm_has_balloon(vm))
		return true;
	g_set_error(error, QMP_ERROR, QMP_ERROR_DEVICE_NOT_ACTIVE,
		"No balloon device has been activated");
	return false;
}

json_t *qmp_balloon(struct vm *vm, const json_t *args, GError **error)
{
	json_int_t value = json_integer_value(json_object_get(args, "value"));

	if (!need_balloon(vm, error))
		return NULL;
	if (value <= 0)
		return refuse(error, "Parameter 'value' expects a size");
	vm_balloon_set(vm, value);
	return json_object();
}

json_t *qmp_query_balloon(struct vm *vm, const json_t *args, GError **error)
{
	if (!need_balloon(vm, error))
		return NULL;
	return json_pack("{s:I}", "actual", (json_int_t)vm_balloon_actual(vm));
}
