<%@ WebHandler Class="samples::UploadStream, upload" %>
