package rest

import (
	"net/http"
	"strings"
)

var routes []route

func path(s string) []string { return strings.Split(s, "/") }

// Query parameters of lists.
var (
	paged = []string{"maxresults", "$skiptoken"}
	full  = []string{"$filter", "$select", "$expand", "maxresults", "$skiptoken"}
	flat  = []string{"$filter", "$select", "maxresults", "$skiptoken"}
	one   = []string{"$select", "$expand"}
	force = []string{"force"}
)

// The handlers know the routes, for links, so that the table is filled at the start.
func init() {
	const (
		get, head, post, put, patch, del = http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete
		taskFile                         = "jobs/{}/tasks/{}/files/{...}"
		nodeFile                         = "pools/{}/nodes/{}/files/{...}"
	)
	routes = []route{
		{"Application_List", get, path("applications"), paged, applicationList},
		{"Application_Get", get, path("applications/{}"), nil, applicationGet},
		{"Pool_ListUsageMetrics", get, path("poolusagemetrics"), append(paged, "starttime", "endtime", "$filter"), usageList},
		{"Account_ListSupportedImages", get, path("supportedimages"), append(paged, "$filter"), imageList},
		{"Account_ListPoolNodeCounts", get, path("nodecounts"), append(paged, "$filter"), nodeCounts},
		{"Certificate_Add", post, path("certificates"), nil, certificateAdd},
		{"Certificate_List", get, path("certificates"), flat, certificateList},
		{"Certificate_CancelDeletion", post, path("certificates/{}/{}/canceldelete"), nil, certificateCancel},
		{"Certificate_Delete", del, path("certificates/{}/{}"), nil, certificateDelete},
		{"Certificate_Get", get, path("certificates/{}/{}"), one, certificateGet},

		{"File_ListFromTask", get, path("jobs/{}/tasks/{}/files"), append(paged, "$filter", "recursive"), taskFileList},
		{"File_GetFromTask", get, path(taskFile), nil, taskFileGet},
		{"File_GetPropertiesFromTask", head, path(taskFile), nil, taskFileGet},
		{"File_DeleteFromTask", del, path(taskFile), []string{"recursive"}, taskFileDelete},
		{"File_ListFromComputeNode", get, path("pools/{}/nodes/{}/files"), append(paged, "$filter", "recursive"), nodeFileList},
		{"File_GetFromComputeNode", get, path(nodeFile), nil, nodeFileGet},
		{"File_GetPropertiesFromComputeNode", head, path(nodeFile), nil, nodeFileGet},
		{"File_DeleteFromComputeNode", del, path(nodeFile), []string{"recursive"}, nodeFileDelete},

		{"JobSchedule_Add", post, path("jobschedules"), nil, scheduleAdd},
		{"JobSchedule_List", get, path("jobschedules"), full, scheduleList},
		{"JobSchedule_Exists", head, path("jobschedules/{}"), nil, scheduleGet},
		{"JobSchedule_Get", get, path("jobschedules/{}"), one, scheduleGet},
		{"JobSchedule_Patch", patch, path("jobschedules/{}"), nil, schedulePatch},
		{"JobSchedule_Update", put, path("jobschedules/{}"), nil, schedulePut},
		{"JobSchedule_Delete", del, path("jobschedules/{}"), force, scheduleDelete},
		{"JobSchedule_Disable", post, path("jobschedules/{}/disable"), nil, scheduleDisable},
		{"JobSchedule_Enable", post, path("jobschedules/{}/enable"), nil, scheduleEnable},
		{"JobSchedule_Terminate", post, path("jobschedules/{}/terminate"), force, scheduleTerminate},
		{"Job_ListFromJobSchedule", get, path("jobschedules/{}/jobs"), full, scheduleJobs},

		{"Job_Add", post, path("jobs"), nil, jobAdd},
		{"Job_List", get, path("jobs"), full, jobList},
		{"Job_Get", get, path("jobs/{}"), one, jobGet},
		{"Job_Patch", patch, path("jobs/{}"), nil, jobPatch},
		{"Job_Update", put, path("jobs/{}"), nil, jobPut},
		{"Job_Delete", del, path("jobs/{}"), force, jobDelete},
		{"Job_Disable", post, path("jobs/{}/disable"), nil, jobDisable},
		{"Job_Enable", post, path("jobs/{}/enable"), nil, jobEnable},
		{"Job_Terminate", post, path("jobs/{}/terminate"), force, jobTerminate},
		{"Job_GetTaskCounts", get, path("jobs/{}/taskcounts"), nil, jobTaskCounts},
		{"Job_ListPreparationAndReleaseTaskStatus", get, path("jobs/{}/jobpreparationandreleasetaskstatus"), flat,
			jobPreparation},

		{"Task_Add", post, path("jobs/{}/tasks"), nil, taskAdd},
		{"Task_List", get, path("jobs/{}/tasks"), full, taskList},
		{"Task_AddCollection", post, path("jobs/{}/addtaskcollection"), nil, taskAddCollection},
		{"Task_Get", get, path("jobs/{}/tasks/{}"), one, taskGet},
		{"Task_Update", put, path("jobs/{}/tasks/{}"), nil, taskPut},
		{"Task_Delete", del, path("jobs/{}/tasks/{}"), nil, taskDelete},
		{"Task_ListSubtasks", get, path("jobs/{}/tasks/{}/subtasksinfo"), []string{"$select"}, taskSubtasks},
		{"Task_Terminate", post, path("jobs/{}/tasks/{}/terminate"), nil, taskTerminate},
		{"Task_Reactivate", post, path("jobs/{}/tasks/{}/reactivate"), nil, taskReactivate},

		{"Pool_Add", post, path("pools"), nil, poolAdd},
		{"Pool_List", get, path("pools"), full, poolList},
		{"Pool_Exists", head, path("pools/{}"), nil, poolGet},
		{"Pool_Get", get, path("pools/{}"), one, poolGet},
		{"Pool_Patch", patch, path("pools/{}"), nil, poolPatch},
		{"Pool_Delete", del, path("pools/{}"), nil, poolDelete},
		{"Pool_EnableAutoScale", post, path("pools/{}/enableautoscale"), nil, poolEnableAutoScale},
		{"Pool_DisableAutoScale", post, path("pools/{}/disableautoscale"), nil, poolDisableAutoScale},
		{"Pool_EvaluateAutoScale", post, path("pools/{}/evaluateautoscale"), nil, poolEvaluateAutoScale},
		{"Pool_Resize", post, path("pools/{}/resize"), nil, poolResize},
		{"Pool_StopResize", post, path("pools/{}/stopresize"), nil, poolStopResize},
		{"Pool_RemoveNodes", post, path("pools/{}/removenodes"), nil, poolRemoveNodes},
		{"Pool_UpdateProperties", post, path("pools/{}/updateproperties"), nil, poolUpdateProperties},

		{"ComputeNode_List", get, path("pools/{}/nodes"), flat, nodeList},
		{"ComputeNode_Get", get, path("pools/{}/nodes/{}"), []string{"$select"}, nodeGet},
		{"ComputeNode_AddUser", post, path("pools/{}/nodes/{}/users"), nil, userAdd},
		{"ComputeNode_UpdateUser", put, path("pools/{}/nodes/{}/users/{}"), nil, userPut},
		{"ComputeNode_DeleteUser", del, path("pools/{}/nodes/{}/users/{}"), nil, userDelete},
		{"ComputeNode_Reboot", post, path("pools/{}/nodes/{}/reboot"), nil, nodeReboot},
		{"ComputeNode_Reimage", post, path("pools/{}/nodes/{}/reimage"), nil, nodeReimage},
		{"ComputeNode_Start", post, path("pools/{}/nodes/{}/start"), nil, nodeStart},
		{"ComputeNode_Deallocate", post, path("pools/{}/nodes/{}/deallocate"), nil, nodeDeallocate},
		{"ComputeNode_DisableScheduling", post, path("pools/{}/nodes/{}/disablescheduling"), nil, nodeDisableScheduling},
		{"ComputeNode_EnableScheduling", post, path("pools/{}/nodes/{}/enablescheduling"), nil, nodeEnableScheduling},
		{"ComputeNode_GetRemoteLoginSettings", get, path("pools/{}/nodes/{}/remoteloginsettings"), nil, nodeRemoteLogin},
		{"ComputeNode_UploadBatchServiceLogs", post, path("pools/{}/nodes/{}/uploadbatchservicelogs"), nil, nodeUploadLogs},
		{"ComputeNodeExtension_List", get, path("pools/{}/nodes/{}/extensions"), append(paged, "$select"), extensionList},
		{"ComputeNodeExtension_Get", get, path("pools/{}/nodes/{}/extensions/{}"), []string{"$select"}, extensionGet},
	}
}
